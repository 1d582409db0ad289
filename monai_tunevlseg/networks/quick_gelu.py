"""CLIP's activation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["QuickGELU"]

SLOPE = 1.702


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU in CLIP, ``x * sigmoid(1.702 * x)``.

    Computed as SiLU, for which autograd keeps one tensor instead of two; they are the widest of a transformer. The
    results of the first operations are overwritten where autograd does not keep them, because fresh memory of this
    size costs as much time as the arithmetic.
    """

    def forward(self, hidden: Tensor) -> Tensor:
        """Activate a tensor of any shape."""
        scaled = hidden * SLOPE
        return functional.silu(scaled, inplace=not scaled.requires_grad).div_(SLOPE)
