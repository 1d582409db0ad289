"""Intensity windows: the stored values that become 0 and 1, given by the user or measured once per volume.

Warnings name images that need a window of the user: CT, and X-rays of 12 bits that are stored in 16 and read as nearly
black.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.pictures import peak_fraction
from monai_tunevlseg.data.io.volumes import intensity_range
from monai_tunevlseg.data.issues import DatasetError, map_files
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.messages import shorten

__all__ = [
    "LOOKS_LIKE_CT",
    "check_intensity_window",
    "dark_pictures_message",
    "looks_like_ct",
    "warn_of_dark_pictures",
    "window_entry",
    "with_intensity_windows",
]

AIR = -500
"""In Hounsfield units, between lung and air; no other modality has voxels below it."""
LOOKS_LIKE_CT = (
    "{count} volumes look like CT in Hounsfield units: {names}; each is scaled by its own 0.5 and 99.5 "
    "percentiles, which depend on everything in view, unless intensity_window is set, such as [-160, "
    "240] for soft tissue."
)
MAX_CHECKED = 16
"""Evenly chosen pictures of a dataset to check; a bright one ends the check."""
DARK_PEAK = 1 / 8
"""Fraction of its type's range below which the brightest pixel of a dataset counts as dark."""


def check_intensity_window(intensity_window: Sequence[float] | None) -> None:
    """Check an intensity window.

    Raises:
        ValueError: when it is not two finite numbers in ascending order.
    """
    if intensity_window is None:
        return
    numbers = [] if isinstance(intensity_window, str) else [*intensity_window]
    if len(numbers) != 2 or not all(isinstance(end, int | float) and abs(end) < np.inf for end in numbers):
        raise ValueError(f"intensity_window is {intensity_window!r}; give [low, high], such as [-160, 240].")
    if not numbers[0] < numbers[1]:
        raise ValueError(f"intensity_window is {intensity_window!r}; its first number must be less than its second.")


def window_entry(intensity_window: Sequence[float] | None) -> Sample:
    """Return the entry of a sample with the user's window, empty without one.

    Raises:
        ValueError: as for `check_intensity_window`.
    """
    check_intensity_window(intensity_window)
    return {} if intensity_window is None else {"intensity_window": list(intensity_window)}


def with_intensity_windows(samples: Sequence[Sample]) -> list[Sample]:
    """Add the measured range of its volume to each sample, so that no loader process measures it again.

    Args:
        samples: samples; those of pictures, and those with an `intensity_window`, stay unchanged.

    Returns:
        new samples if a window is added, else the given ones.

    Raises:
        DatasetError: when a volume cannot be read.
    """
    without = {str(sample["image"]) for sample in samples if "intensity_window" not in sample}
    paths = sorted(path for path in without if is_volume_file(Path(path)))
    warn_of_dark_pictures([Path(path) for path in sorted(without.difference(paths))])

    def measure(path: str) -> tuple[str, tuple[float, float]]:
        return path, intensity_range(Path(path))

    measured, issues = map_files(measure, paths, lambda path: [Path(path)])
    if issues:
        raise DatasetError(issues, [])
    ranges = dict(measured)
    ct = [Path(path).name for path, ends in measured if looks_like_ct(ends)]
    if ct:
        warnings.warn(LOOKS_LIKE_CT.format(count=len(ct), names=shorten(ct)), stacklevel=2)
    return [_with_range(sample, ranges.get(str(sample["image"]))) for sample in samples]


def looks_like_ct(ends: tuple[float, float]) -> bool:
    """Return whether a volume's range begins with the air of a CT in Hounsfield units."""
    return ends[0] <= AIR


def _with_range(sample: Sample, ends: tuple[float, float] | None) -> Sample:
    return sample if ends is None or "intensity_window" in sample else sample | {"intensity_window": list(ends)}


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
