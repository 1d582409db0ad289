"""What readers of a dataset should know of its files: which of them are read by a rule that is not plain to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib

from monai_tunevlseg.data.dark_pictures import dark_pictures_message
from monai_tunevlseg.data.intensity_windows import LOOKS_LIKE_CT, looks_like_ct
from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.pictures import StoredMask, exif_orientation, peak_fraction
from monai_tunevlseg.data.io.volumes import intensity_range, stored_affine
from monai_tunevlseg.data.issues import DatasetIssue
from monai_tunevlseg.messages import shorten

__all__ = ["FileTraits", "image_traits", "mask_traits", "trait_warnings"]

MESSAGES = {
    "exif": "{count} images have an EXIF orientation and are read as viewers show them: {names}; their masks must be "
    "drawn on the image as it is shown.",
    "palette": "{count} masks have a palette in which 0 is not black: {names}; 0 is background whatever its color.",
    "alpha": "{count} masks show their shape by opacity: {names}; what is opaque is foreground.",
    "range": LOOKS_LIKE_CT,
}


@dataclass(frozen=True)
class FileTraits:
    """What is peculiar to one file.

    Args:
        path: the file.
        names: keys of `MESSAGES`.
        share: the part of its type's range that a picture of more than 8 bits reaches, in (0, 1]; None = others.
        orientation: of a volume's axes, such as "RAS"; None = others.
    """

    path: Path
    names: tuple[str, ...] = ()
    share: float | None = None
    orientation: str | None = None


def image_traits(path: Path, windowed: bool = False) -> FileTraits:
    """Look at an image that can be read.

    Args:
        path: the file.
        windowed: whether the user says which stored values are black and white.

    Raises:
        ValueError: when it cannot.
    """
    if is_volume_file(path):
        names = ("range",) if not windowed and looks_like_ct(intensity_range(path)) else ()
        axes = nib.aff2axcodes(stored_affine(path))
        return FileTraits(path, names, orientation="".join(str(axis) for axis in axes))
    names = ("exif",) if exif_orientation(path) != 1 else ()
    return FileTraits(path, names, None if windowed else peak_fraction(path))


def mask_traits(path: Path, mask: StoredMask) -> FileTraits:
    """Look at a mask as its file stores it."""
    colored_zero = mask.palette is not None and len(mask.palette) > 0 and bool(mask.palette[0].any())
    found = {"palette": colored_zero, "alpha": mask.by_alpha}
    return FileTraits(path, tuple(name for name, is_so in found.items() if is_so))


def trait_warnings(traits: Sequence[FileTraits]) -> list[DatasetIssue]:
    """Say in a sentence each what is peculiar to the files of a dataset."""
    issues = []
    for name, message in MESSAGES.items():
        files = list(dict.fromkeys(trait.path for trait in traits if name in trait.names))
        if files:
            text = message.format(count=len(files), names=shorten(path.name for path in files))
            issues.append(DatasetIssue(name, text, tuple(map(str, files))))
    deep = {trait.path: trait.share for trait in traits if trait.share is not None}
    if deep and (message := dark_pictures_message(deep)):
        issues.append(DatasetIssue("range", message, tuple(map(str, deep))))
    axes = {trait.path: trait.orientation for trait in traits if trait.orientation is not None}
    if len(set(axes.values())) > 1:
        message = (
            f"the volumes are stored in several orientations ({shorten(sorted(set(axes.values())))}); their slices are "
            "turned upright by their affines, so that affines must be right."
        )
        issues.append(DatasetIssue("orientation", message, tuple(map(str, axes))))
    return issues
