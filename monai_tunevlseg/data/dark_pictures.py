"""Detection of pictures that are read as nearly black, such as X-rays of 12 bits stored in 16."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from monai_tunevlseg.data.io.pictures import peak_fraction
from monai_tunevlseg.messages import shorten

__all__ = ["dark_pictures_message", "warn_of_dark_pictures"]

MAX_CHECKED = 16
"""Evenly chosen pictures of a dataset to check; a bright one ends the check."""
DARK_PEAK = 1 / 8
"""Fraction of its type's range below which the brightest pixel of a dataset counts as dark."""


def warn_of_dark_pictures(pictures: Sequence[Path]) -> None:
    """Warn once of pictures of more than 8 bits that are read as nearly black, and name the option that helps.

    Args:
        pictures: the pictures of a dataset without an `intensity_window`; unreadable ones are skipped.
    """
    peaks: dict[Path, float] = {}
    for path in pictures[:: max(1, -(-len(pictures) // MAX_CHECKED))]:
        with suppress(OSError, ValueError):  # reported when it is loaded
            if peak := peak_fraction(path):
                peaks[path] = peak
        if peaks and not dark_pictures_message(peaks):
            return
    if peaks:
        warnings.warn(dark_pictures_message(peaks), stacklevel=2)


def dark_pictures_message(peaks: Mapping[Path, float]) -> str:
    """Return the sentence that pictures are read as nearly black, with the option that helps.

    Args:
        peaks: brightest pixel of each picture of more than 8 bits, as a fraction of its type's range; one or more.

    Returns:
        the sentence, or an empty text if a picture is bright enough.
    """
    brightest = max(peaks.values())
    if brightest >= DARK_PEAK:
        return ""
    return (
        f"{len(peaks)} pictures of more than 8 bits reach {100 * brightest:.2g} % of their type's range, like 12 bits "
        f"stored in 16: {shorten(path.name for path in peaks)}; they are read as nearly black: set intensity_window to "
        "the stored values of black and white, such as [0, 4095]."
    )
