"""Traits of a dataset's files that readers handle by rules a user may not expect, reported as warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib

from monai_tunevlseg.data.intensity_windows import LOOKS_LIKE_CT, dark_pictures_message, looks_like_ct
from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.pictures import StoredMask, exif_orientation, peak_fraction
from monai_tunevlseg.data.io.volumes import intensity_range, stored_affine
from monai_tunevlseg.data.issues import DatasetIssue
from monai_tunevlseg.messages import shorten

__all__ = ["FileTraits", "image_traits", "mask_traits", "trait_warnings"]

MESSAGES = {
    "exif": "{count} images have an EXIF orientation and are read as viewers show them: {names}; their masks must be "
    "drawn on the displayed image.",
    "palette": "{count} masks have a palette in which 0 is not black: {names}; 0 is background in any color.",
    "alpha": "{count} masks show their shape by opacity: {names}; opaque pixels are foreground.",
    "range": LOOKS_LIKE_CT,
}


@dataclass(frozen=True)
class FileTraits:
    """The traits of one file.

    Args:
        path: the file.
        names: keys of `MESSAGES`.
        peak: brightest pixel of a picture of more than 8 bits, as a fraction of its type's range; None = other files.
        orientation: axis codes of a volume, such as "RAS"; None = other files.
    """

    path: Path
    names: tuple[str, ...] = ()
    peak: float | None = None
    orientation: str | None = None


def image_traits(path: Path, windowed: bool = False) -> FileTraits:
    """Return the traits of an image.

    Args:
        path: the file.
        windowed: whether the user has given an intensity window.

    Raises:
        ValueError: when the image cannot be read.
    """
    if is_volume_file(path):
        names = ("range",) if not windowed and looks_like_ct(intensity_range(path)) else ()
        axes = nib.aff2axcodes(stored_affine(path))
        return FileTraits(path, names, orientation="".join(str(axis) for axis in axes))
    names = ("exif",) if exif_orientation(path) != 1 else ()
    return FileTraits(path, names, None if windowed else peak_fraction(path))


def mask_traits(path: Path, mask: StoredMask) -> FileTraits:
    """Return the traits of a mask."""
    colored_zero = mask.palette is not None and len(mask.palette) > 0 and bool(mask.palette[0].any())
    found = {"palette": colored_zero, "alpha": mask.by_alpha}
    return FileTraits(path, tuple(name for name, present in found.items() if present))


def trait_warnings(traits: Sequence[FileTraits]) -> list[DatasetIssue]:
    """Return a warning for each trait of the files of a dataset."""
    issues = []
    for name, message in MESSAGES.items():
        files = list(dict.fromkeys(trait.path for trait in traits if name in trait.names))
        if files:
            text = message.format(count=len(files), names=shorten(path.name for path in files))
            issues.append(DatasetIssue(name, text, tuple(map(str, files))))
    deep = {trait.path: trait.peak for trait in traits if trait.peak is not None}
    if deep and (message := dark_pictures_message(deep)):
        issues.append(DatasetIssue("range", message, tuple(map(str, deep))))
    axes = {trait.path: trait.orientation for trait in traits if trait.orientation is not None}
    if len(set(axes.values())) > 1:
        message = (
            f"the volumes are stored in several orientations ({shorten(sorted(set(axes.values())))}); slices are "
            "turned upright by the affines, which must therefore be right."
        )
        issues.append(DatasetIssue("orientation", message, tuple(map(str, axes))))
    return issues
