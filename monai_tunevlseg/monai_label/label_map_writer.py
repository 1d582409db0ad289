"""Writing label maps as the files that clients read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from monailabel.transform.writer import write_itk
from PIL import Image

from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.volumes import stored_affine
from monai_tunevlseg.data.io.writing import write_nifti_labels

__all__ = ["write_label_map"]

EXTENSIONS = (".png", ".nii", ".nii.gz", ".nrrd")


def write_label_map(labels: np.ndarray, source: Path, extension: str | None = None) -> Path:
    """Write a label map into a temporary file.

    Args:
        labels: uint8 of the image's shape.
        source: the image, whose geometry the file gets.
        extension: of the file; None = that of NIfTI images, and PNG for pictures.

    Raises:
        ValueError: when the label map cannot be written so.
    """
    volume = is_volume_file(source)
    extension = extension or (".nii.gz" if volume else ".png")
    if extension not in EXTENSIONS or (extension == ".png" and labels.ndim == 3):
        raise ValueError(
            f"result_extension is {extension!r:.100}; it must be one of {', '.join(EXTENSIONS)}, for volumes no .png."
        )
    with tempfile.NamedTemporaryFile(suffix=extension, delete=False) as file:
        path = Path(file.name)
    if extension == ".png":
        Image.fromarray(labels.T if volume else labels).save(path)  # NIfTI counts columns first
    elif volume and extension != ".nrrd":
        write_nifti_labels(path, labels, source)
    else:
        affine = stored_affine(source) if labels.ndim == 3 else None
        write_itk(labels if volume else labels.T, str(path), affine, np.uint8, compress=False)
    return path
