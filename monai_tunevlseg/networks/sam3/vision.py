"""The vision transformer of SAM 3 with prompts in its windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from monai_tunevlseg.methods import PromptLearner
from monai_tunevlseg.networks.repeated_rows import repeat_rows

if TYPE_CHECKING:
    from transformers.models.sam3.modeling_sam3 import Sam3ViTLayer, Sam3ViTModel

__all__ = ["encode_image", "run_layer"]


def encode_image(
    model: Sam3ViTModel,
    image: Tensor,
    learner: PromptLearner | None,
    run_layer: Callable[[Any, Tensor, Tensor | None], tuple[Tensor, Tensor | None]],
) -> Tensor:
    """Encode images with the learner's visual context (TuneVLSeg, eq. 7 and 8).

    The context of layer 0 joins the patches before the first norm; that of a layer i below the prompt depth replaces
    the output of layer i - 1, and deeper layers process it like any token. It is dropped after the last layer. See
    :func:`run_layer` for its place in windows.

    Args:
        model: the loaded ``Sam3ViTModel``.
        image: (B, 3, H, W), normalized; H and W are multiples of the patch size.
        learner: prompt learner; its visual context is added, if any.
        run_layer: :func:`run_layer`, which may be compiled.

    Returns:
        states of the patches, (B, H / patch, W / patch, vision_dim).
    """
    prompted = learner if learner is not None and learner.prompts_vision else None
    config: Any = model.config
    layers: Any = model.layers
    rows, columns = (side // config.patch_size for side in image.shape[-2:])
    patches = model.embeddings(image).unflatten(1, (rows, columns))
    context: Tensor | None = None

    def context_of(layer: int, otherwise: Tensor | None) -> Tensor | None:
        if prompted is None or layer >= prompted.prompt_depth:
            return otherwise
        return prompted.visual_context(layer).to(patches.dtype).expand(patches.shape[0], -1, -1)

    if (context := context_of(0, None)) is not None:
        context = model.layer_norm(context)
    patches = model.layer_norm(patches)
    for index, layer in enumerate(layers):
        if index:
            context = context_of(index, context)
        patches, context = run_layer(layer, patches, context)
    return patches


def run_layer(layer: Sam3ViTLayer, patches: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Run a layer on patches and context vectors.

    In a layer with windows, every window w attends to its own patches X_w and to the context P, which has no position
    and so is not rotated (R is the rotation of the queries and keys of patches)::

        [X'_w, P'_w] = Attention([R X_w, P])        P' = mean over w of P'_w

    This is what *Visual Prompt Tuning* (Jia et al., ECCV 2022) does in the windows of Swin. A layer with global
    attention is the case of one window.

    Args:
        layer: the loaded ``Sam3ViTLayer``.
        patches: (B, rows, columns, vision_dim).
        context: (B, num_context, vision_dim), or None.

    Returns:
        patches and context after the layer.
    """
    windows = _windows(layer, layer.layer_norm1(patches))  # (B * windows, h, w, vision_dim)
    tokens, rotation = windows.flatten(1, 2), _rotation(layer, windows)
    count = tokens.shape[1]
    if context is not None:
        each = tokens.shape[0] // context.shape[0]
        tokens = torch.cat([tokens, repeat_rows(layer.layer_norm1(context), each)], dim=1)
        rotation = _unrotated(rotation, context.shape[1])
    # not squeezed, because squeeze makes the number of dimensions of an exported ONNX network depend on its input
    attended = layer.attention(tokens.unsqueeze(1), rotation)[0][:, 0]
    patches = patches + _joined(attended[:, :count].unflatten(1, windows.shape[1:3]), patches)
    if context is not None:
        read = attended[:, count:].unflatten(0, (context.shape[0], -1)).mean(dim=1)
        context = _mlp(layer, context + read)
    return _mlp(layer, patches), context


def _mlp(layer: Sam3ViTLayer, states: Tensor) -> Tensor:
    return states + layer.dropout(layer.mlp(layer.layer_norm2(states)))


def _windows(layer: Sam3ViTLayer, patches: Tensor) -> Tensor:
    """Cut (B, rows, columns, C) into windows (B * windows, h, w, C); those at the border are filled with zeros."""
    rows, columns = patches.shape[1:3]
    height, width = (layer.window_size or side for side in (rows, columns))
    filled = pad(patches, (0, 0, 0, -columns % width, 0, -rows % height))
    return filled.unflatten(2, (-1, width)).unflatten(1, (-1, height)).transpose(2, 3).flatten(0, 2)


def _joined(windows: Tensor, patches: Tensor) -> Tensor:
    """Join windows (B * windows, h, w, C) to (B, rows, columns, C), the shape of ``patches``."""
    batch, rows, columns = patches.shape[:3]
    height, width = windows.shape[1:3]
    down, across = -(-rows // height), -(-columns // width)
    grid = windows.unflatten(0, (batch, down, across)).transpose(2, 3)
    return grid.flatten(3, 4).flatten(1, 2)[:, :rows, :columns]


def _rotation(layer: Sam3ViTLayer, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotary positions of a window's patches, each (1, h * w, head_dim).

    The positions of global layers span the range of one window in both directions, as transformers computes them from
    ``image_size`` for the size that a model is built for, and so fit an image of any size.
    """
    positions: Tensor = layer.position_ids
    if not layer.window_size:
        rows, columns = (
            torch.arange(side, device=windows.device) * (layer.config.window_size / side) for side in windows.shape[1:3]
        )
        positions = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).flatten(0, 1)
    cosine, sine = layer.rotary_emb(windows, positions)
    return cosine, sine


def _unrotated(rotation: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Append ``count`` tokens without rotation: an angle of 0."""
    cosine, sine = rotation
    none = cosine.new_zeros(1, count, cosine.shape[-1])
    return torch.cat([cosine, none + 1], dim=1), torch.cat([sine, none], dim=1)
