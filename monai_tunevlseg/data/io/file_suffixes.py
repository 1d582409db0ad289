"""Supported file suffixes, and the parts of a file name."""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.io.pictures import PICTURE_SUFFIXES
from monai_tunevlseg.data.io.volumes import VOLUME_SUFFIXES

__all__ = ["SUFFIXES", "is_volume_file", "stem_of", "suffix_of"]

SUFFIXES = PICTURE_SUFFIXES + VOLUME_SUFFIXES
DOUBLE_SUFFIXES = (".nii.gz", ".seg.nrrd")


def suffix_of(path: Path) -> str:
    """Return the suffix as written; `.nii.gz` and `.seg.nrrd` are one suffix."""
    double = next((suffix for suffix in DOUBLE_SUFFIXES if path.name.lower().endswith(suffix)), None)
    return path.name[-len(double) :] if double else path.suffix


def stem_of(path: Path) -> str:
    """Return the file name without its suffix; `.nii.gz` and `.seg.nrrd` are one suffix."""
    return path.name.removesuffix(suffix_of(path))


def is_volume_file(path: Path) -> bool:
    """Return by the suffix whether a file is a NIfTI image, or a MetaImage or NRRD file, which are read like one."""
    return suffix_of(path).lower() in VOLUME_SUFFIXES
