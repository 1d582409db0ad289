"""CLIP's activation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["QuickGELU"]

SLOPE = 1.702


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU that CLIP was trained with, ``x * sigmoid(1.702 * x)``.

    Written as SiLU, for which autograd keeps one tensor instead of two: the widest ones of a transformer.
    """

    def forward(self, hidden: Tensor) -> Tensor:
        """Activate any shape."""
        return functional.silu(hidden * SLOPE) / SLOPE
