"""VLSM-Adapter and Telescopic Adapters: formulas, sizes as published, and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

from monai_tunevlseg.demo import demo_model
from monai_tunevlseg.methods import AdapterSites, EncoderSizes, LayerSites, TapSite, TelescopicAdapter, VLSMAdapter
from monai_tunevlseg.methods.telescopic_adapter import ScaledBottleneck, telescopic_widths
from monai_tunevlseg.methods.vlsm_adapter import Bottleneck
from monai_tunevlseg.networks import BaseModel, PromptTunedCLIPSeg, load_clipseg

SIZES = EncoderSizes(text_dim=8, text_layers=3, text_positions=16, image_embed_dim=6)


def with_random_weights(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def test_a_bottleneck_is_that_of_houlsby():
    adapter, values = with_random_weights(Bottleneck(8, 3)), torch.randn(4, 5, 8)
    down, _, up = adapter.layers
    expected = values + functional.relu(values @ down.weight.T + down.bias) @ up.weight.T + up.bias
    assert torch.allclose(adapter(values), expected, atol=1e-5)


def test_a_scaled_bottleneck_is_that_of_the_paper():
    adapter, values = with_random_weights(ScaledBottleneck(8, 3, dropout=0.5)).eval(), torch.randn(4, 5, 8)
    down, norm, _, _, up = adapter.layers
    hidden = values @ down.weight.T
    hidden = (hidden - hidden.mean(-1, keepdim=True)) / (hidden.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    hidden = hidden * norm.weight + norm.bias
    hidden = hidden * torch.sigmoid(hidden)
    assert torch.allclose(adapter(values), values + adapter.scale * hidden @ up.weight.T, atol=1e-5)
    assert ScaledBottleneck(8, 3, 0.1).scale.item() == pytest.approx(0.1)


# --- sizes ---


@pytest.fixture(scope="module")
def full_size() -> BaseModel:
    """CLIPSeg at the published size, without memory."""
    with torch.device("meta"):
        model = CLIPSegForImageSegmentation(CLIPSegConfig())
    return replace(load_clipseg(demo_model("clipseg")), model=model)


def trained_at_full_size(base: BaseModel, method: str, **arguments) -> int:
    with torch.device("meta"):
        network = PromptTunedCLIPSeg(base, ["polyp"], method, arguments, upsampler=False)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def bottleneck_size(width: int, hidden: int, output: int | None = None) -> int:
    output = output or width
    return width * hidden + hidden + hidden * output + output


def test_the_dense_vlsm_adapter_has_three_million_parameters(full_size):
    formula = 18 * bottleneck_size(768, 64) + 18 * bottleneck_size(512, 64) + bottleneck_size(512, 256)
    assert trained_at_full_size(full_size, "vlsm_adapter") == formula
    assert 3e6 < formula < 3.5e6


def test_the_shallow_vlsm_adapter_has_an_adapter_for_each_tap(full_size):
    formula = 3 * bottleneck_size(768, 512) + 3 * bottleneck_size(512, 512) + bottleneck_size(512, 256)
    assert trained_at_full_size(full_size, "vlsm_adapter", placement="shallow", adapter_dim=512) == formula


@pytest.mark.parametrize(
    ("parts", "count"), [(["vision"], 18 * 99_136), (["vision", "condition"], 18 * 99_136 + 262_912)]
)
def test_parts_are_counted_alone(parts, count, full_size):
    assert trained_at_full_size(full_size, "vlsm_adapter", adapted_parts=parts) == count


def test_telescopic_adapters_have_the_papers_613_thousand_parameters(full_size):
    def size(width: int, hidden: int) -> int:
        return 2 * width * hidden + 2 * hidden + 1  # two maps, LayerNorm, scale

    vision, text, condition = [8, 8, 10, 14, 17, 21, 24, 28, 32], 16, 16
    assert telescopic_widths(64, 9) == (vision, text, condition)
    formula = 2 * sum(size(768, hidden) for hidden in vision) + 6 * size(512, text) + size(512, condition)
    assert trained_at_full_size(full_size, "telescopic_adapter") == formula
    assert round(formula, -3) == 613_000


def test_lora_has_two_matrices_a_projection(full_size):
    vision, text = 10 * 4 * 2 * 768 * 8, 12 * 4 * 2 * 512 * 8
    assert trained_at_full_size(full_size, "lora") == vision + text
    mlp = 10 * 2 * 8 * (768 + 3072)
    assert trained_at_full_size(full_size, "lora", adapted_parts=["vision"], lora_mlp=True) == vision + mlp


# --- places ---


def sites(layers: int = 3, taps: tuple[int, ...] = (0, 2)) -> tuple[nn.Module, AdapterSites]:
    base = nn.ModuleDict({f"{part}{n}": nn.Identity() for part in ("text", "vision", "tap") for n in range(layers)})
    parts = {part: tuple(LayerSites(8, (f"{part}{n}",), (), ()) for n in range(layers)) for part in ("text", "vision")}
    return base, AdapterSites(6, **parts, taps=tuple(TapSite(8, tap, f"tap{tap}") for tap in taps))


def adapted(base: nn.Module) -> list[str]:
    return [name for name, module in base.named_children() if list(module.parameters())]


def test_telescopic_text_adapters_are_in_the_last_three_adapted_layers():
    base, places = sites(6)
    TelescopicAdapter(SIZES, adapted_layers=5).attach(base, places)
    assert adapted(base) == ["text2", "text3", "text4", "vision0", "vision1", "vision2", "vision3", "vision4"]


def test_dense_adapters_are_in_the_first_layers():
    base, places = sites()
    VLSMAdapter(SIZES, adapted_layers=2).attach(base, places)
    assert adapted(base) == ["text0", "text1", "vision0", "vision1"]


def test_shallow_adapters_are_at_the_taps_and_read_the_text_layers_of_the_same_numbers():
    base, places = sites()
    method = VLSMAdapter(SIZES, "shallow")
    method.attach(base, places)
    assert adapted(base) == ["tap0", "tap2"] and method.text_taps == (0, 2)
    with_random_weights(method)
    condition, states = torch.randn(4, 6), torch.randn(4, 2, 8)
    expected = condition + method.condition.update(condition)
    expected = expected + method.text[0].update(states[:, 0]) + method.text[1].update(states[:, 1])
    assert torch.allclose(method.adapt_condition(condition, states), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        (VLSMAdapter, {"adapter_dim": 0}, "adapter_dim is 0"),
        (VLSMAdapter, {"condition_adapter_dim": 0}, "condition_adapter_dim is 0"),
        (VLSMAdapter, {"adapted_layers": 0}, "adapted_layers is 0"),
        (VLSMAdapter, {"adapted_layers": 4}, r"adapted_layers 4 .*1\.\.3"),
        (VLSMAdapter, {"placement": "deep"}, "'deep'.*'dense'.*'shallow'"),
        (VLSMAdapter, {"adapted_parts": ["decoder"]}, "'decoder'.*vision, text, condition"),
        (TelescopicAdapter, {"adapted_layers": 4}, r"adapted_layers 4 .*1\.\.3"),
        (TelescopicAdapter, {"adapter_dim": 0}, "adapter_dim is 0"),
        (TelescopicAdapter, {"dropout": -0.1}, r"dropout is -0\.1"),
        (TelescopicAdapter, {"adapted_parts": ["image"]}, "'image'.*vision, text, condition"),
    ],
)
def test_bad_arguments_are_refused(kind, arguments, named):
    with pytest.raises(ValueError, match=named):
        kind(SIZES, **arguments).attach(*sites())


def test_shallow_adapters_need_taps_and_text_layers_of_their_numbers():
    with pytest.raises(ValueError, match="'text'.*dense"):
        VLSMAdapter(SIZES, "shallow", ["text"]).attach(*sites(taps=()))
    base, places = sites(taps=(0, 5))
    with pytest.raises(ValueError, match=r"\b6\b.*\b3\b"):
        VLSMAdapter(SIZES, "shallow", ["text"]).attach(base, places)
