"""Writers of label maps and pictures."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.volumes import open_volume, stored_order

__all__ = ["write_mask", "write_nifti_labels", "write_png"]


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
    """Write uint8 pixels (H, W) or (H, W, 3)."""
    with atomic_file(path) as unfinished:
        Image.fromarray(pixels).save(unfinished)
