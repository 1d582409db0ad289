"""Decoding of 2-D and 3-D NIfTI images and label maps; MetaImages are read as if they were NIfTI files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from monai_tunevlseg.data.metaimages import META_SUFFIX, load_metaimage
from monai_tunevlseg.data.pictures import refusing_damage

__all__ = ["NIFTI_SUFFIXES", "nifti_affine", "nifti_shape", "open_nifti", "read_nifti", "read_nifti_values"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
# Clipping half a percent at either end keeps single bright voxels from darkening everything else.
PERCENTILES = (0.5, 99.5)


def open_nifti(path: Path) -> nib.Nifti1Image:
    """Open a file without reading its voxels; those of a MetaImage are read.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the header cannot be read, the image is neither 2-D nor 3-D, or voxels are no real numbers.
    """
    image = load_metaimage(path) if path.suffix.lower() == META_SUFFIX else _load_nifti(path)
    if not isinstance(image, nib.Nifti1Image):
        raise ValueError(f"{path} is a {type(image).__name__}, not a NIfTI image.")
    if len(image.shape) not in (2, 3) or 0 in image.shape:
        raise ValueError(f"{path} has the shape {image.shape}; save it as one or more 2-D or 3-D images.")
    if image.get_data_dtype().kind not in "iufb":
        raise ValueError(f"{path} stores {image.get_data_dtype()} voxels; save it with one number per voxel.")
    return image


def _load_nifti(path: Path) -> nib.filebasedimages.FileBasedImage:
    with refusing_damage(path):
        try:
            return nib.load(path)
        except (ImageFileError, HeaderDataError) as error:
            raise ValueError(str(error)) from error


def nifti_shape(path: Path) -> tuple[int, ...]:
    """Read (X, Y) or (X, Y, Z) from the header.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: as for `open_nifti`.
    """
    return tuple(int(size) for size in open_nifti(path).shape)


def nifti_affine(path: Path, sliced: bool = False, slice_axis: int = 2) -> np.ndarray:
    """Read the (4, 4) matrix from voxel indices to millimetres.

    Of a slice, which MONAI takes for an image in a plane of its own, only the voxel sizes are told: first those of its
    own two axes, then that of the one it was cut along.
    """
    affine = np.asarray(open_nifti(path).affine, dtype=np.float64)
    if not sliced:
        return affine
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    order = [axis for axis in range(3) if axis != slice_axis] + [slice_axis]
    return np.diag([*sizes[order], 1.0])


def read_nifti_values(path: Path, slice_index: int | None = None, slice_axis: int = 2) -> np.ndarray:
    """Read the scaled values that the file stands for, whole or one slice of a volume.

    Args:
        path: a `.nii`, `.nii.gz` or `.mhd` file.
        slice_index: which slice; None = the whole image.
        slice_axis: the axis (0, 1 or 2) along which a volume is cut.

    Returns:
        (X, Y) or (X, Y, Z), or the two axes left of a volume, in the file's order.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded or has no such slice.
    """
    image = open_nifti(path)
    window: tuple[int | slice, ...] = ()
    if slice_index is not None:
        _check_slice(path, image.shape, slice_index, slice_axis)
        window = tuple(slice_index if axis == slice_axis else slice(None) for axis in range(3))
    with refusing_damage(path):
        return np.asarray(image.dataobj[window] if window else image.dataobj)


def read_nifti(path: Path, slice_index: int | None = None, slice_axis: int = 2) -> np.ndarray:
    """Read intensities, scaled so that the whole file's 0.5 and 99.5 percentiles become 0 and 1, and clipped.

    A slice is scaled like the volume it was cut from. Where the percentiles coincide the smallest and largest values
    take their place, and a constant image becomes 0.

    Args:
        path: a `.nii`, `.nii.gz` or `.mhd` file.
        slice_index: which slice; None = the whole image.
        slice_axis: the axis (0, 1 or 2) along which a volume is cut.

    Returns:
        float32 in [0, 1] of the shape that `read_nifti_values` returns.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded, holds values that are not finite or has no such slice.
    """
    values = read_nifti_values(path, slice_index, slice_axis)
    status = path.stat()
    low, high = _intensity_range(path, status.st_mtime_ns, status.st_size)
    if low == high:
        return np.zeros(values.shape, dtype=np.float32)
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


@lru_cache(maxsize=4096)
def _intensity_range(path: Path, modified: int, size: int) -> tuple[float, float]:
    """Measure a file once, not for each of its slices; `modified` and `size` notice that it was replaced."""
    values = read_nifti_values(path)
    if not np.isfinite(values).all():
        count = int(np.count_nonzero(~np.isfinite(values)))
        raise ValueError(f"{path} holds {count} values that are not finite; replace them, for example by 0.")
    low, high = np.percentile(values, PERCENTILES)
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def _check_slice(path: Path, shape: tuple[int, ...], index: int, axis: int) -> None:
    if len(shape) != 3 or axis not in (0, 1, 2) or not 0 <= index < shape[axis]:
        raise ValueError(f"{path} of shape {shape} has no slice {index} along axis {axis}.")
