"""The pixels of a picture, before anything is made of their values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

__all__ = ["EXIF_TURNS", "StoredPicture", "Turn"]


class Turn(NamedTuple):
    """What brings stored pixels into the frame in which they are displayed.

    Args:
        transposed: rows become columns.
        rows: rows are then reversed.
        columns: columns are then reversed.
    """

    transposed: bool
    rows: bool
    columns: bool


EXIF_TURNS = {
    2: Turn(False, False, True),
    3: Turn(False, True, True),
    4: Turn(False, True, False),
    5: Turn(True, False, False),
    6: Turn(True, False, True),
    7: Turn(True, True, True),
    8: Turn(True, True, False),
}
"""By EXIF's orientation, which TIFF's is too; 1, and what has no meaning, ask for nothing."""


@dataclass(frozen=True)
class StoredPicture:
    """The pixels of a picture or a mask.

    Args:
        values: stored values or palette indices (H, W), or colors (H, W, 3).
        white: the stored value that means full brightness; None where the type has no known range.
        alpha: opacity (H, W) of the range of `values`; None = opaque.
        palette: colors of the indices (N, 3), uint8 or uint16; None where there is no palette.
        lossy: the file went through JPEG, so that values lie only near what was meant.
        inverted: 0 is white.
        mode: Pillow's name of a color space that was converted to RGB.
    """

    values: np.ndarray
    white: float | None
    alpha: np.ndarray | None = None
    palette: np.ndarray | None = None
    lossy: bool = False
    inverted: bool = False
    mode: str | None = None

    def as_displayed(self, orientation: int) -> StoredPicture:
        """Return the same, turned as EXIF's `orientation` asks."""
        if orientation not in EXIF_TURNS:
            return self
        turn = EXIF_TURNS[orientation]
        alpha = None if self.alpha is None else _turned(self.alpha, turn)
        return replace(self, values=_turned(self.values, turn), alpha=alpha)


def _turned(array: np.ndarray, turn: Turn) -> np.ndarray:
    array = array.swapaxes(0, 1) if turn.transposed else array
    return array[:: -1 if turn.rows else 1, :: -1 if turn.columns else 1]
