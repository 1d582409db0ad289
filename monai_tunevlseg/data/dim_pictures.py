"""Pictures whose type has many more bits than their pixels use, such as 12 bits of an X-ray stored in 16."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from monai_tunevlseg.data.pictures import reached_share

__all__ = ["warn_of_dim_pictures"]

LOOKED_AT = 16
"""Pictures of a dataset, evenly chosen: one that is bright enough ends the search."""
DIM = 1 / 8
"""Of its type's range: a dataset whose brightest pixel is below is read as nearly black."""


def warn_of_dim_pictures(pictures: Sequence[Path]) -> None:
    """Warn once of pictures of more than 8 bits that are read as nearly black, and name the option that helps.

    Args:
        pictures: those of a dataset for which no `intensity_window` is given; what cannot be read is passed over.
    """
    brightest = 0.0
    for path in pictures[:: max(1, -(-len(pictures) // LOOKED_AT))]:
        with suppress(OSError, ValueError):  # who loads it says so
            brightest = max(brightest, reached_share(path) or 0)
        if brightest >= DIM:
            return
    if brightest:
        warnings.warn(
            f"the pictures, such as {pictures[0]}, have more than 8 bits but reach {100 * brightest:.2g} % of their "
            "type's range, as 12 bits stored in 16 do, and are read as nearly black; set intensity_window to the "
            "stored values of black and white, such as [0, 4095].",
            stacklevel=2,
        )
