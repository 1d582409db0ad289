"""Writes label maps as files that clients read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from monailabel.transform.writer import write_itk
from PIL import Image

from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.volumes import stored_affine
from monai_tunevlseg.data.io.writing import write_nifti

__all__ = ["write_label_map"]

EXTENSIONS = (".png", ".nii", ".nii.gz", ".nrrd")


def write_label_map(labels: np.ndarray, image: Path, extension: str | None = None) -> Path:
    """Write a label map into a temporary file.

    Args:
        labels: uint8, (X, Y) or (X, Y, Z), in the voxel order of the image.
        image: the image, whose geometry the file gets.
        extension: suffix of the file; None = ``.nii.gz`` for NIfTI images, ``.png`` for pictures.

    Raises:
        ValueError: when the extension is unknown, or is ``.png`` for a volume.
    """
    volume = is_volume_file(image)
    extension = extension or (".nii.gz" if volume else ".png")
    if extension not in EXTENSIONS or (extension == ".png" and labels.ndim == 3):
        raise ValueError(
            f"result_extension is {extension!r:.100}; it must be one of {', '.join(EXTENSIONS)}, and not .png for "
            "volumes."
        )
    with tempfile.NamedTemporaryFile(suffix=extension, delete=False) as file:
        path = Path(file.name)
    if extension == ".png":
        Image.fromarray(labels.T).save(path)
    elif volume and extension != ".nrrd":
        write_nifti(path, labels, image)
    else:
        affine = stored_affine(image) if labels.ndim == 3 else None
        write_itk(labels, str(path), affine, np.uint8, compress=False)
    return path
