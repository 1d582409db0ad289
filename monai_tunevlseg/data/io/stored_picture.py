"""The decoded pixels of a picture file, before their values are interpreted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

__all__ = ["EXIF_TURNS", "StoredPicture", "Turn"]


class Turn(NamedTuple):
    """A turn from stored pixels to displayed pixels.

    Args:
        transposed: swap rows and columns.
        rows: then reverse the rows.
        columns: then reverse the columns.
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
"""By orientation in EXIF and TIFF; 1 and unknown values need no turn."""


@dataclass(frozen=True)
class StoredPicture:
    """The decoded pixels of a picture or a mask.

    Args:
        values: stored values or palette indices (H, W), or colors (H, W, 3).
        white: the stored value of full brightness; None for a type of unknown range.
        alpha: opacity (H, W) in the range of `values`; None = opaque.
        palette: colors of the indices (N, 3), uint8 or uint16; None without a palette.
        lossy: JPEG compression has changed the values a little.
        inverted: 0 is white.
        mode: Pillow's name of the color space before conversion to RGB; None = not converted.
    """

    values: np.ndarray
    white: float | None
    alpha: np.ndarray | None = None
    palette: np.ndarray | None = None
    lossy: bool = False
    inverted: bool = False
    mode: str | None = None

    def as_displayed(self, orientation: int) -> StoredPicture:
        """Return the picture turned by its EXIF `orientation`."""
        if orientation not in EXIF_TURNS:
            return self
        turn = EXIF_TURNS[orientation]
        alpha = None if self.alpha is None else _turned(self.alpha, turn)
        return replace(self, values=_turned(self.values, turn), alpha=alpha)


def _turned(array: np.ndarray, turn: Turn) -> np.ndarray:
    array = array.swapaxes(0, 1) if turn.transposed else array
    return array[:: -1 if turn.rows else 1, :: -1 if turn.columns else 1]
