"""Projections between the spaces of the encoders, one per prompted layer."""

from __future__ import annotations

from torch import nn

__all__ = ["Projection"]


class Projection(nn.Sequential):
    """Linear, ReLU, Linear, LayerNorm; with ``linear_projection`` nothing stands between the two Linears.

    The bottleneck is that of CoCoOp's meta-network (Zhou et al., 2022); its dimension and the low-rank variant are in
    the search space of TuneVLSeg, Table 2, which calls that variant "LoRA".

    Inputs are small, normal(0, 0.02), and the LayerNorm makes them large. A bias that reaches it would outweigh them,
    and all context vectors of a layer would start as nearly the same vector; hence the second Linear has none, the two
    of a linear projection have none, and the first starts from He et al.'s weights.

    Args:
        in_dim: width of the input, (..., in_dim).
        out_dim: width of the output, (..., out_dim).
        intermediate_dim: width between the two Linears.
        linear_projection: leave the activation out, so that the two Linears are one map of rank ``intermediate_dim``;
            "LoRA" in the paper's Table 2.
        norm_bias: let the LayerNorm add a bias; of no use where the output is added to something that is learned.

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
