"""A fake release of CRIS: files, and names and shapes from the papers' sizes, independent of the code under test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
Entries = Iterator[tuple[str, Shape]]


@dataclass(frozen=True)
class Sizes:
    """Sizes of CLIP's ResNet-50 and of CRIS's config; another size makes a smaller release."""

    vocab_size: int = 49408
    text: int = 512
    text_layers: int = 12
    stem: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    grid: int = 7
    joint: int = 1024
    neck: tuple[int, int, int] = (256, 512, 1024)
    feed_forward: int = 2048


def clip_shapes(sizes: Sizes) -> dict[str, Shape]:
    """CLIP's state dict."""
    return dict(_resnet(sizes)) | dict(_text(sizes))


def cris_shapes(sizes: Sizes) -> dict[str, Shape]:
    """CRIS's state dict, without ``module.``."""
    pool = "visual.attnpool.connect"
    shapes = clip_shapes(sizes) | dict(_convolution(f"{pool}.0", 32 * sizes.stem, sizes.joint, 1))
    shapes |= dict(_batch_norm(f"{pool}.1", sizes.joint))
    shapes = {f"backbone.{name}": shape for name, shape in shapes.items()}
    return shapes | dict(_neck(sizes)) | dict(_decoder(sizes)) | dict(_projector(sizes))


def _resnet(sizes: Sizes) -> Entries:
    half, width = sizes.stem // 2, sizes.stem
    for number, (before, after) in enumerate([(3, half), (half, half), (half, width)], start=1):
        yield from _convolution(f"visual.conv{number}", before, after, 3)
        yield from _batch_norm(f"visual.bn{number}", after)
    for stage, count in enumerate(sizes.blocks):
        inner, outer = width * 2**stage, 4 * width * 2**stage
        for block in range(count):
            name = f"visual.layer{stage + 1}.{block}"
            before = (width if stage == 0 else outer // 2) if block == 0 else outer
            for number, (rows, columns, side) in enumerate(
                [(before, inner, 1), (inner, inner, 3), (inner, outer, 1)], start=1
            ):
                yield from _convolution(f"{name}.conv{number}", rows, columns, side)
                yield from _batch_norm(f"{name}.bn{number}", columns)
            if block == 0:
                yield from _convolution(f"{name}.downsample.0", before, outer, 1)
                yield from _batch_norm(f"{name}.downsample.1", outer)
    last = 32 * width
    yield "visual.attnpool.positional_embedding", (sizes.grid**2 + 1, last)
    for projection, out in (("k", last), ("q", last), ("v", last), ("c", sizes.joint)):
        yield from _linear(f"visual.attnpool.{projection}_proj", last, out)


def _text(sizes: Sizes) -> Entries:
    width = sizes.text
    for layer in range(sizes.text_layers):
        name = f"transformer.resblocks.{layer}"
        yield from _attention(f"{name}.attn", width)
        yield from _norm(f"{name}.ln_1", width)
        yield from _linear(f"{name}.mlp.c_fc", width, 4 * width)
        yield from _linear(f"{name}.mlp.c_proj", 4 * width, width)
        yield from _norm(f"{name}.ln_2", width)
    yield "token_embedding.weight", (sizes.vocab_size, width)
    yield "positional_embedding", (77, width)
    yield from _norm("ln_final", width)
    yield "text_projection", (width, sizes.joint)
    yield "logit_scale", ()


def _neck(sizes: Sizes) -> Entries:
    fine, middle, coarse = sizes.neck
    yield "neck.txt_proj.0.weight", (coarse, sizes.joint)
    yield from _batch_norm("neck.txt_proj.1", coarse)
    yield from _batch_norm("neck.norm_layer.0", coarse)
    for name, before, after, side in (
        ("f1_v_proj", sizes.joint, coarse, 1),
        ("f2_v_proj", 16 * sizes.stem, middle, 3),
        ("f2_cat", coarse + middle, middle, 1),
        ("f3_v_proj", 8 * sizes.stem, fine, 3),
        ("f3_cat", fine + middle, middle, 1),
        ("f4_proj5", coarse, middle, 3),
        ("f4_proj4", middle, middle, 3),
        ("f4_proj3", middle, middle, 3),
        ("aggr", 3 * middle, middle, 1),
        ("coordconv.0.conv1", middle + 2, middle, 3),
        ("coordconv.1", middle, middle, 3),
    ):
        yield from _convolution(f"neck.{name}.0", before, after, side)
        yield from _batch_norm(f"neck.{name}.1", after)


def _decoder(sizes: Sizes) -> Entries:
    width = sizes.text
    for layer in range(3):
        name = f"decoder.layers.{layer}"
        for norm in ("self_attn_norm", "cross_attn_norm", "norm1", "norm2", "norm3"):
            yield from _norm(f"{name}.{norm}", width)
        yield from _attention(f"{name}.self_attn", width)
        yield from _attention(f"{name}.multihead_attn", width)
        yield from _linear(f"{name}.ffn.0", width, sizes.feed_forward)
        yield from _norm(f"{name}.ffn.3", sizes.feed_forward)
        yield from _linear(f"{name}.ffn.4", sizes.feed_forward, width)
    yield from _norm("decoder.norm", width)


def _projector(sizes: Sizes) -> Entries:
    width, half = sizes.text, sizes.text // 2
    for layer, after in ((1, width), (3, half)):
        yield from _convolution(f"proj.vis.{layer}.0", width, after, 3)
        yield from _batch_norm(f"proj.vis.{layer}.1", after)
    yield from _convolution("proj.vis.4", half, half, 1)
    yield "proj.vis.4.bias", (half,)
    yield from _linear("proj.txt", sizes.joint, 9 * half + 1)


def _convolution(name: str, before: int, after: int, side: int) -> Entries:
    yield f"{name}.weight", (after, before, side, side)


def _linear(name: str, before: int, after: int) -> Entries:
    yield f"{name}.weight", (after, before)
    yield f"{name}.bias", (after,)


def _norm(name: str, width: int) -> Entries:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _batch_norm(name: str, width: int) -> Entries:
    yield from _norm(name, width)
    yield f"{name}.running_mean", (width,)
    yield f"{name}.running_var", (width,)
    yield f"{name}.num_batches_tracked", ()


def _attention(name: str, width: int) -> Entries:
    yield f"{name}.in_proj_weight", (3 * width, width)
    yield f"{name}.in_proj_bias", (3 * width,)
    yield from _linear(f"{name}.out_proj", width, width)


def random_weights(shapes: dict[str, Shape]) -> dict[str, Tensor]:
    """Draw weights small enough for finite outputs."""
    torch.manual_seed(0)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(7)
        elif name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            weights[name] = torch.rand(shape) + 0.5  # of norms
        else:
            weights[name] = torch.randn(shape) * (math.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1)
    return weights


class _Holder(nn.Module):
    """A module without code, so that TorchScript can write any names."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


def write_torchscript(weights: dict[str, Tensor], file: Path) -> Path:
    """Write weights in the format of CLIP's archive: half precision, with three settings among them."""
    root = _Holder()
    settings = {
        "input_resolution": torch.tensor(224),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(9),
    }
    root.scale = 3  # a plain number, which a state dict leaves out
    for name, value in (weights | settings).items():
        *path, leaf = name.split(".")
        module: nn.Module = root
        for part in path:
            if part not in dict(module.named_children()):
                module.add_module(part, _Holder())
            module = module.get_submodule(part)
        if value.is_floating_point() and not leaf.startswith("running"):
            module.register_parameter(leaf, nn.Parameter(value.half()))
        else:
            module.register_buffer(leaf, value.half() if value.is_floating_point() else value)
    torch.jit.script(root).save(str(file))
    return file
