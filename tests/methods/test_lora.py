"""LoRA: equal to weights with the update written out, and refused where it does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_tunevlseg.methods import AdapterSites, EncoderSizes, LayerSites, LoRA

SIZES = EncoderSizes(text_dim=8, text_layers=1, text_positions=16, image_embed_dim=6)


class Layer(nn.Module):
    """Attention as Linear modules, attention as one module, and an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 32), nn.Linear(32, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, values):
        attended, _ = self.attention(values, values.flip(1), self.query(values), need_weights=False)
        return self.down(self.up(attended))


SITES = AdapterSites(6, text=(LayerSites(8, (), ("query", "attention"), ("up", "down")),))


def attached(**arguments) -> tuple[Layer, Layer, LoRA]:
    torch.manual_seed(0)
    plain = Layer().eval().requires_grad_(False)
    tuned, method = Layer().eval().requires_grad_(False), LoRA(SIZES, **arguments)
    tuned.load_state_dict(plain.state_dict())
    method.attach(tuned, SITES)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return plain, tuned, method


def written_out(plain: Layer, tuned: Layer, names: list[str], scale: float) -> Layer:
    """Add scale * B A to the plain weights, from the parameters' values alone."""
    with torch.no_grad():
        for name in names:
            layer = getattr(tuned, name)
            plain.get_submodule(name).weight += scale * layer.lora_B.default.weight @ layer.lora_A.default.weight
        packed, own = tuned.attention, plain.attention
        own.in_proj_weight += scale * packed.inputs.up @ packed.inputs.down
        own.out_proj.weight += scale * packed.outputs.up @ packed.outputs.down
    return plain


@pytest.mark.parametrize(("rank", "alpha", "mlp"), [(1, 1, False), (3, 12, False), (8, 4, True)])
def test_outputs_are_those_of_the_updated_weights(rank, alpha, mlp):
    plain, tuned, _ = attached(lora_rank=rank, lora_alpha=alpha, lora_mlp=mlp)
    values = torch.randn(2, 5, 8)
    expected = written_out(plain, tuned, ["query", *(["up", "down"] if mlp else [])], alpha / rank)
    assert torch.allclose(tuned(values), expected(values), atol=1e-5)
    with pytest.raises(AssertionError):  # a wrong scale is noticed
        assert torch.allclose(tuned(values), written_out(plain, tuned, ["query"], 0.5)(values), atol=1e-5)


@pytest.mark.parametrize("mlp", [False, True])
def test_a_merged_layer_has_its_former_modules_and_leaves_the_original_alone(mlp):
    plain, tuned, method = attached(lora_rank=2, lora_mlp=mlp)
    values, frozen = torch.randn(2, 5, 8), {id(value): value.clone() for value in tuned.parameters()}
    expected = tuned(values)
    merged = copy_sharing_tensors(tuned)
    method.merge(merged)
    assert torch.allclose(merged(values), expected, atol=1e-5)
    assert {name for name, _ in merged.named_parameters()} == {name for name, _ in plain.named_parameters()}
    assert all(torch.equal(value, frozen[id(value)]) for value in tuned.parameters())
    assert torch.equal(tuned(values), expected)


def copy_sharing_tensors(module: nn.Module) -> nn.Module:
    from monai_tunevlseg.networks.module_copies import copy_modules

    return copy_modules(module)


def test_thousands_of_calls_leave_the_frozen_weights_alone():
    plain, tuned, _ = attached(lora_rank=2)
    for _ in range(2000):
        tuned(torch.randn(1, 3, 8))
    assert torch.equal(tuned.attention.frozen.in_proj_weight, plain.attention.in_proj_weight)
    assert torch.equal(tuned.attention.frozen.out_proj.weight, plain.attention.out_proj.weight)


def test_what_was_trainable_before_stays_trainable():
    layer, method = Layer().requires_grad_(False), LoRA(SIZES, lora_rank=2)
    layer.down.requires_grad_(True)
    method.attach(layer, SITES)
    assert layer.down.weight.requires_grad and not layer.up.weight.requires_grad


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"lora_rank": 0}, "lora_rank is 0"),
        ({"lora_rank": -1}, "lora_rank is -1"),
        ({"lora_rank": 1.5}, r"lora_rank is 1\.5"),
        ({"lora_rank": "8"}, "lora_rank is '8'"),
        ({"lora_rank": True}, "lora_rank is True"),
        ({"lora_alpha": 0}, "lora_alpha is 0"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
        ({"lora_rank": 9}, r"lora_rank 9 .*1\.\.8.*query"),
        ({"adapted_parts": ["txet"]}, "'txet'.*vision, text, decoder"),
        ({"adapted_parts": ["condition"]}, "'condition'.*vision, text, decoder"),
        ({"adapted_parts": []}, r"\[\].*vision, text, decoder"),
        ({"adapted_parts": "vision"}, "'vision'.*list.*vision, text, decoder"),
        ({"adapted_parts": ["vision"]}, "vision.*adapted_parts"),
    ],
)
def test_bad_arguments_are_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        LoRA(SIZES, **arguments).attach(Layer(), SITES)
