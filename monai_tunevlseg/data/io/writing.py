"""Writers of label maps and pictures."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.data.io.volumes import open_volume

__all__ = ["write_nifti_labels", "write_png"]


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
