"""Pictures whose type has many more bits than their pixels use, such as 12 bits of an X-ray stored in 16."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from monai_tunevlseg.data.io.pictures import peak_fraction
from monai_tunevlseg.messages import shorten

__all__ = ["dark_pictures_message", "warn_of_dark_pictures"]

LOOKED_AT = 16
"""Pictures of a dataset, evenly chosen: one that is bright enough ends the search."""
DIM = 1 / 8
"""Of its type's range: a dataset whose brightest pixel is below is read as nearly black."""


def warn_of_dark_pictures(pictures: Sequence[Path]) -> None:
    """Warn once of pictures of more than 8 bits that are read as nearly black, and name the option that helps.

    Args:
        pictures: those of a dataset for which no `intensity_window` is given; what cannot be read is passed over.
    """
    shares: dict[Path, float] = {}
    for path in pictures[:: max(1, -(-len(pictures) // LOOKED_AT))]:
        with suppress(OSError, ValueError):  # who loads it says so
            if share := peak_fraction(path):
                shares[path] = share
        if shares and not dark_pictures_message(shares):
            return
    if shares:
        warnings.warn(dark_pictures_message(shares), stacklevel=2)


def dark_pictures_message(shares: Mapping[Path, float]) -> str:
    """Say in one sentence that pictures are read as nearly black, and name the option that helps.

    Args:
        shares: which part of its type's range each picture of more than 8 bits reaches, in (0, 1]; one or more.

    Returns:
        an empty text where one of them is bright enough.
    """
    brightest = max(shares.values())
    if brightest >= DIM:
        return ""
    return (
        f"{len(shares)} pictures of more than 8 bits reach {100 * brightest:.2g} % of their type's range, as 12 bits "
        f"stored in 16 do: {shorten(path.name for path in shares)}; they are read as nearly black: set "
        "intensity_window to the stored values of black and white, such as [0, 4095]."
    )
