"""Pictures of an image with a label map on it."""

from __future__ import annotations

import colorsys
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_tunevlseg.data.reading import is_nifti
from monai_tunevlseg.data.volumes import open_nifti

__all__ = ["class_colour", "draw_overlay", "eroded", "upright"]

OPACITY = 0.35
FIRST_HUE = 1 / 3  # green, which stands out on flesh and on grey
GOLDEN_RATIO = 0.618034  # steps of this keep any number of hues apart


def class_colour(index: int) -> np.ndarray:
    """Return the (3,) RGB colour of a class, counted from 0: whole 255ths in [0, 1]."""
    colour = np.asarray(colorsys.hsv_to_rgb((FIRST_HUE + index * GOLDEN_RATIO) % 1, 0.9, 1.0))
    return np.rint(colour * 255) / 255


def draw_overlay(image: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Tint each class in its colour and draw its contour.

    Args:
        image: (H, W, 3) in [0, 1].
        labels: (H, W), 0 = background, k + 1 = class k.
        num_classes: how many classes there are.

    Returns:
        uint8 of shape (H, W, 3).
    """
    picture = image.copy()
    width = max(1, round(min(labels.shape) / 250))
    for index in range(num_classes):
        area = labels == index + 1
        colour = class_colour(index).astype(picture.dtype)
        picture[area] = (1 - OPACITY) * picture[area] + OPACITY * colour
        picture[area & ~eroded(area, width)] = colour
    return np.rint(picture * 255).astype(np.uint8)


def eroded(area: np.ndarray, width: int) -> np.ndarray:
    """Take `width` pixels off every side of an area, bool (H, W); what lies at the picture's border keeps that side."""
    inner = area
    for _ in range(width):
        padded = np.pad(inner, 1, mode="edge")
        inner = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inner


def upright(picture: np.ndarray, path: Path, slice_axis: int | None) -> np.ndarray:
    """Turn a picture of a file's content as it is looked at.

    NIfTI counts columns first. In slices of a volume up is anterior if they are axial and superior in others; the
    patient's right (in sagittal slices the front) is on the left.

    Args:
        picture: (A, B) or (A, B, channels), the axes left of the file's in their order.
        path: the file; what is not NIfTI stays as it is.
        slice_axis: the axis of the volume that was cut; None for a 2-D image.

    Returns:
        the same pixels, (A, B, ...) or (B, A, ...).
    """
    if not is_nifti(path):
        return picture
    if slice_axis is None:
        return np.ascontiguousarray(picture.swapaxes(0, 1))
    return _oriented(picture, np.asarray(open_nifti(path).affine), slice_axis)


def _oriented(picture: np.ndarray, affine: np.ndarray, slice_axis: int) -> np.ndarray:
    orientation = np.delete(nib.io_orientation(affine), slice_axis, axis=0)
    if np.isnan(orientation).any():
        return picture  # an affine that does not tell: as stored
    flipped = tuple(axis for axis in (0, 1) if orientation[axis, 1] > 0)  # NIfTI counts towards right, front and top
    turned = np.flip(picture, flipped)
    return np.ascontiguousarray(turned if orientation[0, 0] > orientation[1, 0] else turned.swapaxes(0, 1))
