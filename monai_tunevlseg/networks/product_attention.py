"""Attention in bfloat16 on CPUs as products of small blocks, in place of torch's fused kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from transformers import PreTrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

__all__ = ["attend", "use_product_attention"]

NAME = "product_attention"
LEAST_KEYS = 256
"""Products are used for this many keys or more, because rounding of the scores weighs more with fewer."""
BLOCK_BYTES = 2**21
"""Size of a block of scores, which stays in a core's cache from the first product to the last."""


def use_product_attention(model: nn.Module) -> None:
    """Let transformers' layers attend by :func:`attend` where it is the faster one.

    These are layers with many keys and no mask that compute in bfloat16 on a CPU. Everything else stays with torch's
    ``scaled_dot_product_attention``: other types and devices, masks, dropout, and compiled or traced code.

    Args:
        model: a model, changed in place; modules of other libraries are left alone.
    """
    ALL_ATTENTION_FUNCTIONS.register(NAME, _attention_of_transformers)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    for module in model.modules():
        config = getattr(module, "config", None)
        if isinstance(config, PreTrainedConfig) and config._attn_implementation == "sdpa":
            config._attn_implementation = NAME


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Return ``softmax(scale * query key^T) value``.

    On CPUs with AVX512-BF16, torch's fused kernel takes twice as long. The backward pass computes the probabilities
    again, because they would take more memory than all other tensors of a layer.

    Args:
        query: (B, heads, N, width).
        key: (B, heads, M, width).
        value: (B, heads, M, width).
        scale: factor of the scores, usually ``width ** -0.5``.

    Returns:
        (B, heads, N, width).
    """
    attended = _ProductAttention.apply(*(each.flatten(0, 1) for each in (query, key, value)), scale)
    return attended.unflatten(0, query.shape[:2])


def _attention_of_transformers(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' attention functions do, by products where they suit, else by torch's own attention.

    Returns:
        (B, N, heads, width), and None instead of the probabilities.
    """
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    plain = attention_mask is None and not causal and not dropout and kwargs.get("position_bias") is None
    if plain and scaling is not None and query.shape[1] == key.shape[1] and _suits_products(key):
        return attend(query, key, value, scaling).transpose(1, 2), None
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
    )


def _suits_products(key: Tensor) -> bool:
    eager = not (torch.compiler.is_compiling() or torch.jit.is_tracing())
    return eager and key.device.type == "cpu" and key.dtype == torch.bfloat16 and key.shape[2] >= LEAST_KEYS


class _ProductAttention(torch.autograd.Function):
    """Attention of H heads: query (H, N, width), key and value (H, M, width) -> (H, N, width)."""

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        if torch.cpu._is_amx_tile_supported():  # there, torch's forward kernel is faster than products
            return functional.scaled_dot_product_attention(query, key, value, scale=scale)
        scaled, centered = query * scale, _centered(key)
        attended = torch.empty_like(scaled)
        for heads, rows in _blocks(query, key):
            attended[heads, rows] = _probabilities(scaled[heads, rows], centered[heads]) @ value[heads]
        return attended

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, float], output: Tensor) -> None:
        *tensors, ctx.scale = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value = ctx.saved_tensors
        scaled, centered = query * ctx.scale, _centered(key)
        of_query = torch.empty_like(scaled)
        # the sum over many blocks needs more bits than bfloat16 has
        summed = torch.promote_types(query.dtype, torch.float32)
        of_key, of_value = (torch.zeros_like(each, dtype=summed) for each in (key, value))
        for heads, rows in _blocks(query, key):
            probabilities, incoming = _probabilities(scaled[heads, rows], centered[heads]), gradient[heads, rows]
            of_value[heads] += probabilities.mT @ incoming
            of_scores = torch._softmax_backward_data(incoming @ value[heads].mT, probabilities, -1, gradient.dtype)
            of_query[heads, rows] = of_scores @ centered[heads]
            of_key[heads] += of_scores.mT @ scaled[heads, rows]
        return of_query * ctx.scale, of_key.to(key.dtype), of_value.to(value.dtype), None


def _centered(key: Tensor) -> Tensor:
    """Subtract the mean key: the probabilities stay, and the scores and their rounding errors become smaller."""
    return key - key.mean(dim=1, keepdim=True)


def _probabilities(query: Tensor, key: Tensor) -> Tensor:
    return torch.softmax(query @ key.mT, dim=-1)


def _blocks(query: Tensor, key: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield the heads and rows of each block of scores: several heads, or some rows of a head with many tokens."""
    (heads, length), row_bytes = query.shape[:2], key.shape[1] * query.element_size()
    together, rows = max(1, BLOCK_BYTES // (length * row_bytes)), max(1, BLOCK_BYTES // row_bytes)
    for first in range(0, heads, together):
        for row in range(0, length, rows):
            yield slice(first, first + together), slice(row, row + rows)
