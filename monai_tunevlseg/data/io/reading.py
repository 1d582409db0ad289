"""Readers of images and masks in every supported format, with errors that name the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, is_volume_file, suffix_of
from monai_tunevlseg.data.io.mask_values import distinct_values
from monai_tunevlseg.data.io.pictures import (
    StoredMask,
    picture_shape,
    read_picture,
    read_picture_mask,
    read_unique_picture_values,
)
from monai_tunevlseg.data.io.volumes import read_volume, read_volume_mask, upright_shape

__all__ = ["read_image", "read_shape", "read_stored_mask", "read_unique_values"]


def read_shape(path: Path, like: Path | None = None) -> tuple[int, ...]:
    """Read (H, W) of a picture or (S, A, R) of a volume, as `read_image` returns it, from the file's header.

    Args:
        path: a picture or a volume.
        like: the image, if the file is a mask.
    """
    _check_suffix(path)
    return upright_shape(path, like) if is_volume_file(path) else picture_shape(path)


def read_image(
    path: Path, slice_index: int | None = None, slice_axis: int = 2, intensity_window: Sequence[float] | None = None
) -> np.ndarray:
    """Read an image as RGB, upright regardless of its orientation in the file.

    Args:
        path: a picture or a volume.
        slice_index: slice of a volume; None = the whole file.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of a volume.
        intensity_window: the stored values that become 0 and 1, in a volume's own units; None = the range of a
            picture's type, and the range of a volume that `volumes.intensity_range` measures.

    Returns:
        float32 in [0, 1] of shape (H, W, 3), or (S, A, R, 3) for a whole volume: from superior to inferior, anterior
        to posterior and the patient's right to left.
    """
    _check_suffix(path)
    if is_volume_file(path):
        return read_volume(path, slice_index, slice_axis, intensity_window)
    _refuse_slice(path, slice_index)
    return read_picture(path, intensity_window)


def read_stored_mask(
    path: Path, slice_index: int | None = None, slice_axis: int = 2, like: Path | None = None
) -> StoredMask:
    """Read a mask, upright like the image of `read_image`, without interpreting its values.

    Args:
        path: a picture or a volume.
        slice_index: slice of a volume; None = the whole file.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of a volume.
        like: the image to whose voxels a volume's mask is reoriented; None = the mask alone.
    """
    _check_suffix(path)
    if is_volume_file(path):
        return read_volume_mask(path, slice_index, slice_axis, like)
    _refuse_slice(path, slice_index)
    return read_picture_mask(path)


def read_unique_values(path: Path, like: Path | None = None) -> tuple[tuple[int, ...], StoredMask]:
    """Read a mask's shape, and its unique values as a mask of shape (1, N); `like` is its image.

    `to_binary_mask` and `to_label_map` give for these values what they give for the whole mask.
    """
    _check_suffix(path)
    if not is_volume_file(path):
        return read_unique_picture_values(path)
    mask = read_volume_mask(path, like=like)
    return mask.values.shape, replace(mask, values=distinct_values(mask.values)[None])


def _check_suffix(path: Path) -> None:
    if suffix_of(path).lower() not in SUFFIXES:
        raise ValueError(f"{path} has no supported suffix; supported are {', '.join(SUFFIXES)}.")


def _refuse_slice(path: Path, slice_index: int | None) -> None:
    if slice_index is not None:
        raise ValueError(f"{path} is a picture and has no slice {slice_index}; only volumes have slices.")
