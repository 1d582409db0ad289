"""Projections between the spaces of the encoders, one per prompted layer."""

from __future__ import annotations

from torch import nn

__all__ = ["Projection"]


class Projection(nn.Sequential):
    """Linear, ReLU, Linear, LayerNorm; with ``lora`` nothing stands between the two Linears.

    The bottleneck is that of CoCoOp's meta-network (Zhou et al., 2022); its dimension and the low-rank variant are in
    the search space of TuneVLSeg, Table 2.

    Args:
        in_dim: width of the input, (..., in_dim).
        out_dim: width of the output, (..., out_dim).
        intermediate_dim: width between the two Linears.
        lora: leave the activation out, so that the two Linears are one map of rank ``intermediate_dim``.

    Raises:
        ValueError: when ``intermediate_dim`` is below 1.
    """

    def __init__(self, in_dim: int, out_dim: int, intermediate_dim: int, lora: bool) -> None:
        if intermediate_dim < 1:
            raise ValueError(f"intermediate_dim {intermediate_dim} of a projection must be at least 1.")
        activation = [] if lora else [nn.ReLU()]
        super().__init__(
            nn.Linear(in_dim, intermediate_dim),
            *activation,
            nn.Linear(intermediate_dim, out_dim),
            nn.LayerNorm(out_dim),
        )
