"""The optimizer's parameter groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

__all__ = ["parameter_groups"]

_DECAYING: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], tuple[str, ...]], ...] = (
    (nn.Linear, ("weight",)),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), ("weight",)),
    (nn.MultiheadAttention, ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")),
)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trainable parameters in groups with and without weight decay.

    Weights of linear, convolution and attention layers decay; context vectors, norms, biases and scalars do not.

    Args:
        network: its parameters with ``requires_grad`` are taken, in the order of ``named_parameters()``.
        weight_decay: weight decay of the first group, 0 or more.

    Raises:
        ValueError: when no parameter is trainable, or ``weight_decay`` is negative.
    """
    if weight_decay < 0:
        raise ValueError(f"weight_decay is {weight_decay}; it must be 0 or more.")
    decaying = set(_decaying_ids(network))
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError(
            f"{type(network).__name__} has no trainable parameters; choose a method, set unfreeze to decoder or "
            "all, or upsampler to true."
        )
    groups = (
        {"params": [p for p in trained if id(p) in decaying], "weight_decay": weight_decay},
        {"params": [p for p in trained if id(p) not in decaying], "weight_decay": 0.0},
    )
    return [group for group in groups if group["params"]]


def _decaying_ids(network: nn.Module) -> Iterator[int]:
    """Yield the ids of the weights that decay."""
    for module in network.modules():
        for kinds, names in _DECAYING:
            if isinstance(module, kinds):
                yield from (id(module._parameters.get(name)) for name in names)
