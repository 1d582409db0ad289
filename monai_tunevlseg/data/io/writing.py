"""Writers of label maps and other maps, pictures and volumes."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
from imagecodecs import PNG

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.data.io.file_suffixes import is_volume_file, stem_of, suffix_of
from monai_tunevlseg.data.io.volumes import NIFTI_SUFFIXES, open_volume, stored_order

__all__ = ["write_map", "write_mask", "write_nifti", "write_png", "write_volume"]


def write_mask(mask: np.ndarray, image: Path, folder: Path, stem: str) -> None:
    """Write an upright uint8 mask as NIfTI, with the header of its image, if that is a volume, and else as PNG."""
    if is_volume_file(image):
        write_nifti(folder / f"{stem}.nii.gz", stored_order(mask, image), image)
    else:
        write_png(folder / f"{stem}.png", mask)


def write_map(values: np.ndarray, image: Path, folder: Path) -> None:
    """Write an upright map under the name of its image, as NIfTI with its header if that is a volume, else as PNG.

    Args:
        values: (H, W), or (S, A, R) of a volume; uint8 or uint16 of a picture.
        image: the image; a NIfTI file gives its whole name, any other its stem.
        folder: the folder of the map.
    """
    if is_volume_file(image):
        name = image.name if suffix_of(image).lower() in NIFTI_SUFFIXES else f"{stem_of(image)}.nii.gz"
        write_nifti(folder / name, stored_order(values, image), image)
    else:
        write_png(folder / f"{stem_of(image)}.png", values, quick=True)


def write_nifti(path: Path, values: np.ndarray, source: Path) -> None:
    """Write a label map or another map with the header of its image and the type of its values.

    MONAI's writer keeps only the affine and drops a last axis of length 1; viewers that use the header's codes or
    units would show the map beside the image.

    Args:
        path: the NIfTI file to write.
        values: (X, Y) or (X, Y, Z), in the image's stored order; its further axes of length 1 are added.
        source: the image, NIfTI, MetaImage or NRRD.
    """
    original = open_volume(source)
    header = original.header.copy()
    header.set_data_dtype(values.dtype)
    header["cal_min"] = header["cal_max"] = 0
    if values.size == np.prod(original.shape):
        values = values.reshape(original.shape)
    with _written(path) as unfinished:
        nib.save(type(original)(values, original.affine, header), unfinished)


def write_png(path: Path, pixels: np.ndarray, quick: bool = False) -> None:
    """Write uint8 or uint16 pixels (H, W) or (H, W, 3).

    Args:
        path: the PNG to write.
        pixels: the pixels.
        quick: compress less: in a sixth of the time, overlays of photographs and ultrasound images are 9 to 17 %
            larger, and masks have 4 instead of 2 kB.
    """
    options = {"level": PNG.COMPRESSION.SPEED, "filter": PNG.FILTER.PAETH} if quick else {}
    with _written(path) as unfinished:
        unfinished.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), **options))


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


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield a path to write to, as `atomic_file` does.

    Raises:
        OSError: when the file cannot be written; of the original type, with a message that names `path`.
    """
    try:
        with atomic_file(path) as unfinished:
            yield unfinished
    except OSError as error:
        reason = error.strerror or error
        raise type(error)(f"{path} cannot be written: {reason}; make room, or choose another folder.") from error
