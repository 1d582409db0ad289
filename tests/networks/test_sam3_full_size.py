"""SAM 3 at the published size, on the meta device: names and counts of parameters, and where gradients go."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import BaseModel, PromptTunedSAM3, load_sam3

T = TypeVar("T")

PARAMETERS = 840_376_374  # of the published Sam3Model
TEXT = VISION = 1024  # widths of the encoders
FUSION = 256  # width of the decoder
TEXT_LAYERS, VISION_LAYERS, DECODER_LAYERS = 24, 32, 6
CONTEXT, BOTTLENECK, RANK, ADAPTED_LAYERS = 4, 64, 8, 9  # defaults of the methods


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def norm(width: int) -> int:
    return 2 * width


def bottleneck(width: int, inner: int) -> int:
    return linear(width, inner) + linear(inner, width)


def scaled_bottleneck(width: int, inner: int) -> int:
    return 2 * width * inner + norm(inner) + 1


def transformer_block(width: int, inner: int) -> int:
    return 4 * linear(width, width) + bottleneck(width, inner) + 2 * norm(width)


TELESCOPIC = [max(8, 64 * layer // (2 * ADAPTED_LAYERS)) for layer in range(1, ADAPTED_LAYERS + 1)]
ATTENTION = 4 * linear(FUSION, FUSION)
DECODER = (
    DECODER_LAYERS * (2 * ATTENTION + bottleneck(FUSION, 2048) + 3 * norm(FUSION))
    + (ATTENTION + norm(FUSION))  # cross attention of the mask decoder
    + 3 * (linear(9 * FUSION, FUSION) + norm(FUSION))  # pixel decoder
    + linear(FUSION, 1)
)
UPSAMPLER = linear(FUSION, 64) + linear(25 * 64, 1) + 1

TRAINED = {
    "coop": CONTEXT * TEXT,
    "cocoop": CONTEXT * TEXT + linear(FUSION, BOTTLENECK) + BOTTLENECK * TEXT + TEXT,
    "vpt": CONTEXT * VISION,
    "maple": CONTEXT * TEXT + linear(TEXT, BOTTLENECK) + BOTTLENECK * VISION + norm(VISION),
    "shared_attention": CONTEXT * (TEXT + VISION) + transformer_block(TEXT + VISION, 1280),
    "shared_separate": CONTEXT * 64 + 64 * (TEXT + VISION) + norm(TEXT) + norm(VISION),
    "lora": (TEXT_LAYERS + VISION_LAYERS) * 4 * 2 * RANK * TEXT,
    "vlsm_adapter": 2 * 2 * ADAPTED_LAYERS * bottleneck(TEXT, BOTTLENECK) + bottleneck(FUSION, 256),
    "telescopic_adapter": 2 * sum(scaled_bottleneck(VISION, width) for width in TELESCOPIC)
    + 2 * 3 * scaled_bottleneck(TEXT, 16)
    + scaled_bottleneck(FUSION, 16),
}


def on_meta(kind: str, prefix: str) -> torch.nn.Module:
    """Build transformers' model of the published size without memory."""
    module = f"transformers.models.{kind}"
    config = getattr(importlib.import_module(f"{module}.configuration_{kind}"), f"{prefix}Config")
    with torch.device("meta"):
        return getattr(importlib.import_module(f"{module}.modeling_{kind}"), f"{prefix}Model")(config())


@pytest.fixture(scope="module")
def full_size(tiny_sam3_dir) -> BaseModel:
    """SAM 3 of the published size with the tokenizer of the tiny one."""
    return replace(load_sam3(str(tiny_sam3_dir)), model=on_meta("sam3", "Sam3"))


def build(base: BaseModel, method: str | None, **arguments) -> PromptTunedSAM3:
    with torch.device("meta"):
        return PromptTunedSAM3(base, ["polyp"], method, **{"upsampler": False, **arguments})


def count(network: PromptTunedSAM3, trained: bool) -> int:
    return sum(each.numel() for each in network.parameters() if each.requires_grad == trained)


def test_the_model_is_the_published_one(full_size):
    model = full_size.model
    assert sum(each.numel() for each in model.parameters()) == PARAMETERS
    network = build(full_size, None)
    assert [name for name, _ in network.base.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert count(network, trained=True) == 0


def test_every_parameter_has_one_part(full_size):
    parts = PromptTunedSAM3.parts
    sides = (parts.text, parts.vision, parts.decoder, parts.other_outputs)
    for name, _ in full_size.model.named_parameters():
        owners = [part for side in sides for part in side if name.startswith(f"{part}.")]
        assert len(owners) == 1, name


@pytest.mark.parametrize("method", list(METHODS))
def test_a_method_trains_this_many_parameters_beside_those_of_the_model(method, full_size):
    network = build(full_size, method)
    assert count(network, trained=True) == TRAINED[method]
    assert count(network, trained=False) == PARAMETERS
    own = {name.replace(".frozen", "").replace(".base_layer", "") for name, _ in network.base.named_parameters()}
    assert {name for name, _ in full_size.model.named_parameters()} <= own


@pytest.mark.parametrize(("unfreeze", "trained"), [("decoder", DECODER), ("all", PARAMETERS)])
def test_fine_tuning_trains_this_many_parameters_of_the_model(unfreeze, trained, full_size):
    network = build(full_size, None, unfreeze=unfreeze)
    assert count(network, trained=True) == trained
    assert count(network, trained=False) == PARAMETERS - trained


def test_the_upsampler_has_this_many_parameters(full_size):
    assert count(build(full_size, None, upsampler=True), trained=True) == UPSAMPLER


@pytest.mark.parametrize("method", ["coop", "vpt", "maple", "vlsm_adapter"])
def test_an_image_of_the_published_size_gives_gradients_to_the_method_alone(method, full_size, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # the meta device has none
    network = build(full_size, method, upsampler=True)
    logits = network(torch.empty(1, 3, 1008, 1008, device="meta"), [["polyp", "a red circle"]])
    assert logits.shape == (1, 2, 1008, 1008)
    logits.sum().backward()
    reached = {name for name, each in network.named_parameters() if each.grad is not None}
    assert reached == {name for name, each in network.named_parameters() if each.requires_grad}


def test_the_smaller_text_encoder_fits_too(tiny_sam3_lite_dir):
    model = on_meta("sam3_lite_text", "Sam3LiteText")
    network = build(replace(load_sam3(str(tiny_sam3_lite_dir)), model=model), "coop")
    assert count(network, trained=True) == CONTEXT * 512
    assert count(network, trained=False) == sum(each.numel() for each in model.parameters())
    assert network(torch.empty(1, 3, 1008, 504, device="meta")).shape == (1, 1, 1008, 504)


def test_what_runs_once_per_image_is_worth_it(full_size):
    """Shares of operations that docstrings name."""
    network = build(full_size, "coop")
    image = torch.empty(1, 3, 1008, 1008, device="meta")
    layer, patches = network.base.detr_encoder.layers[0], torch.empty(1, 72 * 72, FUSION, device="meta")
    with torch.no_grad():
        text = network.encode_text(network.tokenize(["polyp"]), None)
        texts = {name: value.unsqueeze(0) for name, value in text.items()}
        encoded, features = operations(lambda: network.encode_image(image))
        expanded, maps = operations(lambda: network.expand_image_features(features))
        attended, _ = operations(lambda: network.attend_to_patches(layer, patches, patches))
        decoded, _ = operations(lambda: network.decode(maps, texts))
    assert attended / (attended + decoded) == pytest.approx(0.08, abs=0.005)
    pyramid = expanded - attended
    assert pyramid / (encoded + pyramid) == pytest.approx(0.04, abs=0.005)
    assert sum(each.numel() for name, each in maps.items() if name != "attended") == pytest.approx(
        5 * features["states"].numel(), rel=0.06
    )


def operations(run: Callable[[], T]) -> tuple[int, T]:
    """Return the number of floating point operations of a call, and its result."""
    with FlopCounterMode(display=False) as counter:
        result = run()
    return counter.get_total_flops(), result
