"""Orientation of volumes: reordered and flipped axes, so that slices stand upright as radiologists view them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np

__all__ = ["Reorientation", "array_axis", "grid_reorientation", "upright_reorientation"]

STORED_LIKE_DICOM = np.array([[0, -1], [1, -1], [2, 1]])
"""Assumed for a file without orientation: x to left, y to posterior, z to superior (LPS)."""
GRID_TOLERANCE = 0.1  # maximum deviation in voxels, at the corners of a volume


@dataclass(frozen=True)
class Reorientation:
    """A change from the axes of a file to those of an upright array, and back.

    The axes of an upright volume run from superior to inferior, from anterior to posterior and from the patient's right
    to left. Slices across any of them are upright: rows run to inferior or posterior, columns to the patient's left or
    to posterior. A file with an axis of length 1 is a flat image, whose columns run along its first axis.

    Attributes:
        shape: shape of the file, (X, Y, Z).
        axes: the file's axis for each axis of the upright array.
        flips: whether each axis of the upright array runs opposite to the file's.
        flat: whether the upright array is (H, W), without the axis of length 1.
    """

    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool] = (False, False, False)
    flat: bool = False

    @property
    def upright_shape(self) -> tuple[int, ...]:
        """(S, A, R), or (H, W) of a flat image."""
        turned = tuple(self.shape[axis] for axis in self.axes)
        return turned[1:] if self.flat else turned

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the upright view of the file's values (X, Y, Z, ...): `upright_shape` and the same further axes."""
        turned = self._flipped(np.transpose(values, (*self.axes, *range(3, values.ndim))))
        return turned[0] if self.flat else turned

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Return the view (X, Y, Z) of an upright array in the order of the file."""
        return np.transpose(self._flipped(values[None] if self.flat else values), np.argsort(self.axes))

    def slice_box(self, slice_axis: int, index: int) -> tuple[slice, slice, slice]:
        """Return the part of the file, along (X, Y, Z), that holds a slice of the upright array."""
        axis = array_axis(slice_axis)
        place = self.shape[self.axes[axis]] - 1 - index if self.flips[axis] else index
        box = [slice(None)] * 3
        box[self.axes[axis]] = slice(place, place + 1)
        return box[0], box[1], box[2]

    def index_matrix(self) -> np.ndarray:
        """Return the (4, 4) matrix from indices of the upright array, with any axis of length 1, to the file's."""
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        for place, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            matrix[axis, place] = -1 if flip else 1
            matrix[axis, 3] = self.shape[axis] - 1 if flip else 0
        return matrix

    def then(self, other: Reorientation) -> Reorientation:
        """Return the composition of this reorientation and, after it, `other`."""
        axes = [self.axes[axis] for axis in other.axes]
        flips = [flip != self.flips[axis] for axis, flip in zip(other.axes, other.flips, strict=True)]
        return Reorientation(self.shape, (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]), other.flat)

    def _flipped(self, turned: np.ndarray) -> np.ndarray:
        return np.flip(turned, tuple(axis for axis in range(3) if self.flips[axis]))


def array_axis(slice_axis: int) -> int:
    """Return the axis of an upright volume across which sagittal (0), coronal (1) or axial (2) slices are cut."""
    return 2 - slice_axis


def upright_reorientation(shape: tuple[int, int, int], affine: np.ndarray | None) -> Reorientation:
    """Return the reorientation from a file to an upright array.

    Args:
        shape: of the file, (X, Y, Z).
        affine: (4, 4), from voxels to millimeters in RAS; None = unknown, LPS is assumed.
    """
    ones = [axis for axis in range(3) if shape[axis] == 1]
    if ones:
        first, second = (axis for axis in range(3) if axis != ones[-1])
        return Reorientation(shape, (ones[-1], second, first), flat=True)
    orientation = _orientation(affine)
    ends = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in (2, 1, 0)]
    flips = [bool(orientation[axis, 1] > 0) for axis in ends]  # NIfTI counts to right, anterior and superior
    return Reorientation(shape, (ends[0], ends[1], ends[2]), (flips[0], flips[1], flips[2]))


def grid_reorientation(
    shape: Sequence[int], affine: np.ndarray | None, other_shape: Sequence[int], other_affine: np.ndarray | None
) -> Reorientation | None:
    """Return the reorientation of a file's voxels to the voxel grid of another file, or None if the grids differ.

    Args:
        shape: of the file, (X, Y, Z).
        affine: of the file, (4, 4); None = unknown.
        other_shape: of the other file.
        other_affine: of the other file.
    """
    if affine is None or other_affine is None:
        return None
    turns = nib.orientations.ornt_transform(_orientation(affine), _orientation(other_affine))
    axes = [int(axis) for axis in np.argsort(turns[:, 0])]
    flips = [bool(turns[axis, 1] < 0) for axis in axes]
    change = Reorientation((shape[0], shape[1], shape[2]), (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))
    if change.upright_shape != tuple(other_shape):
        return None
    corners = np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * (*(np.array(other_shape) - 1), 1)
    moved = corners @ (np.linalg.inv(other_affine) @ affine @ change.index_matrix()).T
    return change if np.abs(moved - corners).max() < GRID_TOLERANCE else None


def _orientation(affine: np.ndarray | None) -> np.ndarray:
    if affine is None:
        return STORED_LIKE_DICOM
    orientation = nib.io_orientation(affine)
    return STORED_LIKE_DICOM if np.isnan(orientation).any() else orientation
