"""Projections between the spaces of the encoders, one per prompted layer."""

from __future__ import annotations

from torch import nn

__all__ = ["Projection"]


class Projection(nn.Sequential):
    """Linear, ReLU, Linear, LayerNorm; with ``linear_projection`` without the ReLU.

    The bottleneck follows CoCoOp's meta-network (Zhou et al., 2022). Its width and the low-rank variant are in the
    search space of TuneVLSeg, Table 2, which calls this variant "LoRA".

    Inputs are small, normal(0, 0.02), and the LayerNorm scales them up. A bias before it would outweigh them, and all
    context vectors of a layer would start as nearly the same vector. Hence the second Linear has no bias, neither
    Linear of a linear projection has one, and the first Linear has He et al.'s initialization.

    Args:
        in_dim: width of the input, (..., in_dim).
        out_dim: width of the output, (..., out_dim).
        intermediate_dim: width between the two Linears.
        linear_projection: omit the activation, so that the two Linears are one map of rank ``intermediate_dim``;
            "LoRA" in the paper's Table 2.
        norm_bias: whether the LayerNorm has a bias; redundant if the output is added to learned vectors.

    Raises:
        ValueError: when ``intermediate_dim`` is below 1.
    """

    def __init__(
        self, in_dim: int, out_dim: int, intermediate_dim: int, linear_projection: bool, norm_bias: bool = True
    ) -> None:
        if intermediate_dim < 1:
            raise ValueError(f"intermediate_dim {intermediate_dim} of a projection must be at least 1.")
        first = nn.Linear(in_dim, intermediate_dim, bias=not linear_projection)
        if not linear_projection:
            nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
        super().__init__(
            first,
            *([] if linear_projection else [nn.ReLU()]),
            nn.Linear(intermediate_dim, out_dim, bias=False),
            nn.LayerNorm(out_dim, bias=norm_bias),
        )
