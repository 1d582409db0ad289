"""Suffixes of the supported files, and the suffix and stem of a file name."""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.io.pictures import PICTURE_SUFFIXES
from monai_tunevlseg.data.io.volumes import VOLUME_SUFFIXES

__all__ = ["SUFFIXES", "is_volume_file", "stem_of", "suffix_of"]

SUFFIXES = PICTURE_SUFFIXES + VOLUME_SUFFIXES
DOUBLE_SUFFIXES = (".nii.gz", ".seg.nrrd")


def suffix_of(path: Path) -> str:
    """Return the suffix in its own case; `.nii.gz` and `.seg.nrrd` count as one suffix."""
    double = next((suffix for suffix in DOUBLE_SUFFIXES if path.name.lower().endswith(suffix)), None)
    return path.name[-len(double) :] if double else path.suffix


def stem_of(path: Path) -> str:
    """Return the file name without its suffix; `.nii.gz` and `.seg.nrrd` count as one suffix."""
    return path.name.removesuffix(suffix_of(path))


def is_volume_file(path: Path) -> bool:
    """Return whether the suffix is that of a volume format: NIfTI, MetaImage or NRRD."""
    return suffix_of(path).lower() in VOLUME_SUFFIXES
