"""Writing of label maps and pictures."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.data.io.volumes import open_volume

__all__ = ["write_nifti_labels", "write_png"]


def write_nifti_labels(path: Path, labels: np.ndarray, source: Path) -> None:
    """Write uint8 labels under the input's header.

    MONAI's writer keeps the affine alone and drops a last axis of length 1; viewers that go by the header's codes or
    units would then show the two beside each other.

    Args:
        path: the file to write.
        labels: (X, Y) or (X, Y, Z), in the input's order; further axes of one are added where it has them.
        source: the input, NIfTI, MetaImage or NRRD.
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
