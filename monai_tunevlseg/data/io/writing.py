"""Writers of label maps, pictures and volumes."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.data.io.file_suffixes import is_volume_file, suffix_of
from monai_tunevlseg.data.io.volumes import open_volume, stored_order

__all__ = ["write_mask", "write_nifti_labels", "write_png", "write_volume"]


def write_mask(mask: np.ndarray, image: Path, folder: Path, stem: str) -> None:
    """Write an upright uint8 mask as NIfTI, with the header of its image, if that is a volume, and else as PNG."""
    if is_volume_file(image):
        write_nifti_labels(folder / f"{stem}.nii.gz", stored_order(mask, image), image)
    else:
        write_png(folder / f"{stem}.png", mask)


def write_nifti_labels(path: Path, labels: np.ndarray, source: Path) -> None:
    """Write a uint8 label map with the header of its image.

    MONAI's writer keeps only the affine and drops a last axis of length 1; viewers that use the header's codes or
    units would show the label map beside the image.

    Args:
        path: the NIfTI file to write.
        labels: (X, Y) or (X, Y, Z), in the image's stored order; its further axes of length 1 are added.
        source: the image, NIfTI, MetaImage or NRRD.
    """
    original = open_volume(source)
    header = original.header.copy()
    header.set_data_dtype(np.uint8)
    header["cal_min"] = header["cal_max"] = 0
    if labels.size == np.prod(original.shape):
        labels = labels.reshape(original.shape)
    with atomic_file(path) as unfinished:
        nib.save(type(original)(labels, original.affine, header), unfinished)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 or uint16 pixels (H, W) or (H, W, 3)."""
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


def write_volume(source: Path, path: Path) -> None:
    """Write a volume as compressed NIfTI (`.nii.gz`); the content of a NIfTI file is not changed."""
    suffix = suffix_of(source).lower()
    with atomic_file(path) as unfinished:
        if suffix == ".nii.gz":
            shutil.copyfile(source, unfinished)
        elif suffix == ".nii":
            with source.open("rb") as stored, gzip.open(unfinished, "wb") as compressed:
                shutil.copyfileobj(stored, compressed)
        else:
            nib.save(open_volume(source), unfinished)
