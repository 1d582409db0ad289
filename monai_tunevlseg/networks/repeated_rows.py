"""Repetition of the rows of a batch."""

from __future__ import annotations

from torch import Tensor

__all__ = ["repeat_rows"]


def repeat_rows(rows: Tensor, count: int) -> Tensor:
    """Repeat each row of a batch, as ``Tensor.repeat_interleave`` does.

    That function cannot be traced on CUDA, where it looks rows up with an index on the CPU.

    Args:
        rows: (B, ...).
        count: number of copies of a row.

    Returns:
        (B * count, ...), the copies of a row side by side.
    """
    return rows.unsqueeze(1).expand(-1, count, *[-1] * (rows.ndim - 1)).flatten(0, 1)
