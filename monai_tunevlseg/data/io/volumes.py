"""Readers of images and masks in NIfTI, MetaImage and NRRD, of two or three dimensions.

Voxels are returned upright regardless of their order in the file (see `orientation.Reorientation`).

Two caches outlive a call: the decompressed voxels of the last two files (neighboring slices of an image and its mask)
and the intensity ranges of files. Callers cannot observe them except by speed: the keys hold path, modification time
and size of every file that is read, so that a replaced file is read again, and the cached arrays are read-only.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from monai_tunevlseg.data.io.decoding_errors import translate_decoding_errors
from monai_tunevlseg.data.io.metaimage import METAIMAGE_SUFFIX, load_metaimage, pixel_file
from monai_tunevlseg.data.io.nrrd import NRRD_SUFFIXES, load_nrrd
from monai_tunevlseg.data.io.orientation import Reorientation, array_axis, grid_reorientation, upright_reorientation
from monai_tunevlseg.data.io.pictures import StoredMask
from monai_tunevlseg.data.io.voxel_data import check_voxel_count, read_stream

__all__ = [
    "NIFTI_SUFFIXES",
    "VOLUME_SUFFIXES",
    "has_colors",
    "intensity_range",
    "open_volume",
    "read_volume",
    "read_volume_mask",
    "same_grid",
    "source_files",
    "stored_affine",
    "stored_order",
    "stored_shape",
    "upright_affine",
    "upright_shape",
]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, METAIMAGE_SUFFIX, *NRRD_SUFFIXES)
COLORS = 3
# Clipping half a percent at either end keeps single bright voxels from darkening all others.
PERCENTILES = (0.5, 99.5)
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class _Volume:
    """An open file.

    Attributes:
        path: the file.
        image: as nibabel opens it.
        shape: (X, Y, Z), with 1 for a missing axis.
        colored: whether voxels have three colors.
        affine: (4, 4); None if the header has none.
    """

    path: Path
    image: nib.Nifti1Image
    shape: tuple[int, int, int]
    colored: bool
    affine: np.ndarray | None


def open_volume(path: Path) -> nib.Nifti1Image:
    """Open a file without reading its voxels.

    Raises:
        ValueError: when the header cannot be read, the image is neither 2-D nor 3-D, or voxels are neither real numbers
            nor 8-bit colors.
    """
    return _open(path).image


def has_colors(path: Path) -> bool:
    """Return whether voxels are red, green and blue, by the header."""
    return _open(path).colored


def stored_shape(path: Path) -> tuple[int, ...]:
    """Read (X, Y) or (X, Y, Z) from the header, in the file's order, with a last axis of length 1."""
    volume = _open(path)
    return volume.shape[: max(2, min(3, volume.image.ndim))]


def upright_shape(path: Path, like: Path | None = None) -> tuple[int, ...]:
    """Read the upright shape from the header, (S, A, R), or (H, W) of a flat image; `like` is a mask's image."""
    return _reorientation(_open(path), like).upright_shape


def stored_affine(path: Path) -> np.ndarray:
    """Read the (4, 4) matrix from voxel indices, in the file's order, to millimeters."""
    return _any_affine(open_volume(path))


def upright_affine(path: Path, slice_axis: int | None = None) -> np.ndarray:
    """Return the (4, 4) matrix from indices of the upright array to millimeters.

    For a flat image or a slice, which MONAI treats as an image in a plane of its own, the matrix holds only the voxel
    sizes: those of its two axes first, then that of the third.

    Args:
        path: the file.
        slice_axis: sagittal (0), coronal (1) or axial (2), for a slice; None = the whole file.
    """
    volume = _open(path)
    upright = _reorientation(volume)
    affine = _any_affine(volume.image) @ upright.index_matrix()
    if slice_axis is None and not upright.flat:
        return affine
    cut = 0 if slice_axis is None else array_axis(slice_axis)
    order = [axis for axis in range(3) if axis != cut] + [cut]
    return np.diag([*np.linalg.norm(affine[:3, :3], axis=0)[order], 1.0])


def same_grid(mask: Path, image: Path) -> bool:
    """Return whether a mask's voxels lie on those of its image by their headers, up to flips and permutations."""
    return _turn(_open(mask), _open(image)) is not None


def stored_order(values: np.ndarray, path: Path) -> np.ndarray:
    """Reorder an upright array, (S, A, R) or (H, W), to the voxels of a file, with the shape `stored_shape(path)`."""
    return np.ascontiguousarray(_reorientation(_open(path)).invert(values).reshape(stored_shape(path)))


def read_volume_mask(
    path: Path, slice_index: int | None = None, slice_axis: int = 2, like: Path | None = None
) -> StoredMask:
    """Read the scaled values of a mask, whole or one slice of a volume; for colors, the brightest channel.

    A mask whose voxels are a flip or permutation of its image's by their headers is reoriented to the image. Any other
    mask of the image's size is assumed to be stored in the image's order. The arguments are those of
    `reading.read_stored_mask`.

    Raises:
        ValueError: when the file has no such slice.
    """
    volume = _open(path)
    values = _read(volume, _reorientation(volume, like), slice_index, slice_axis)
    if not volume.colored:
        return StoredMask(values)
    brightest = values.max(axis=-1)
    return StoredMask(brightest, colored=bool((values != brightest[..., None]).any()))


def read_volume(
    path: Path, slice_index: int | None = None, slice_axis: int = 2, intensity_window: Sequence[float] | None = None
) -> np.ndarray:
    """Read intensities, scaled so that the ends of the window become 0 and 1, and clipped.

    Arguments and result are those of `reading.read_image`. Without an `intensity_window`, the window is the
    `intensity_range` of the whole file, which is 0..255 for colors.

    Raises:
        ValueError: when the file holds values that are not finite or has no such slice.
    """
    volume = _open(path)
    values = _read(volume, _reorientation(volume), slice_index, slice_axis)
    low, high = intensity_window or intensity_range(path)
    scaled = np.zeros(values.shape, dtype=np.float32)
    if low < high:
        np.subtract(values, np.float64(low), out=scaled, casting="unsafe")
        scaled /= np.float32(high - low)
        np.clip(scaled, 0, 1, out=scaled)
    if np.isnan(scaled).any():
        raise ValueError(f"{path} holds values that are not finite; replace them, for example by 0.")
    return scaled if volume.colored else np.broadcast_to(scaled[..., None], (*scaled.shape, COLORS))


def intensity_range(path: Path) -> tuple[float, float]:
    """Measure the 0.5 and 99.5 percentiles of a whole file, or its minimum and maximum where they coincide.

    The percentiles depend on everything in view, such as metal in a CT. The file is measured again only after a change.

    Raises:
        ValueError: when the file cannot be decoded or holds values that are not finite.
    """
    with translate_decoding_errors(path):
        return _measured(path, _states(path))


def source_files(path: Path) -> list[Path]:
    """List the files that are read for `path`: the file itself and, for a MetaImage, the file with its pixels.

    Raises:
        FileNotFoundError: when a header does not exist.
        ValueError: when a header is damaged.
    """
    return [path, pixel_file(path)] if path.suffix.lower() == METAIMAGE_SUFFIX else [path]


def _open(path: Path) -> _Volume:
    image = _load(path)
    if not isinstance(image, nib.Nifti1Image):
        raise ValueError(f"{path} is a {type(image).__name__}, not a NIfTI image.")
    shape, colored = _spatial_shape(image)
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"{path} has the shape {image.shape}; save it as one or more 2-D or 3-D images.")
    if image.get_data_dtype().kind not in "iufb" and not colored:
        raise ValueError(f"{path} stores {image.get_data_dtype()} voxels; save it with one number per voxel.")
    with translate_decoding_errors(path):
        check_voxel_count(shape)
    padded = (*shape, 1)
    return _Volume(path, image, (padded[0], padded[1], padded[2]), colored, _valid_affine(image))


def _load(path: Path) -> nib.filebasedimages.FileBasedImage:
    suffix = path.suffix.lower()
    if suffix == METAIMAGE_SUFFIX:
        return load_metaimage(path)
    if suffix in NRRD_SUFFIXES:
        return load_nrrd(path)
    with translate_decoding_errors(path):
        try:
            return nib.load(path)
        except (ImageFileError, HeaderDataError) as error:
            raise ValueError(str(error)) from error


def _spatial_shape(image: nib.Nifti1Image) -> tuple[tuple[int, ...], bool]:
    """Return the shape without further axes of length 1, and whether voxels are red, green and blue."""
    shape, dtype = tuple(int(size) for size in image.shape), image.get_data_dtype()
    colored = dtype.names is not None and dtype.names[:COLORS] == ("R", "G", "B")
    if dtype == np.uint8 and shape[3:] in ((COLORS,), (1, COLORS)):
        shape, colored = shape[:-1], True
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape, colored


def _any_affine(image: nib.Nifti1Image) -> np.ndarray:
    """Return the affine, or nibabel's default if the header has none."""
    affine = image.header.get_best_affine() if image.affine is None else image.affine
    return np.asarray(affine, dtype=np.float64)


def _valid_affine(image: nib.Nifti1Image) -> np.ndarray | None:
    """Return the affine if the header's codes declare one and it can be inverted."""
    affine = _any_affine(image)
    declared = int(image.header["sform_code"]) > 0 or int(image.header["qform_code"]) > 0
    return affine if declared and np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0 else None


def _turn(mask: _Volume, image: _Volume) -> Reorientation | None:
    return grid_reorientation(mask.shape, mask.affine, image.shape, image.affine)


def _reorientation(volume: _Volume, like: Path | None = None) -> Reorientation:
    if like is None or not like.name.lower().endswith(VOLUME_SUFFIXES):
        return upright_reorientation(volume.shape, volume.affine)
    image = _open(like)
    base = upright_reorientation(image.shape, image.affine)
    if (turn := _turn(volume, image)) is not None:
        return turn.then(base)
    return base if volume.shape == image.shape else upright_reorientation(volume.shape, volume.affine)


def _read(volume: _Volume, upright: Reorientation, slice_index: int | None, slice_axis: int) -> np.ndarray:
    if slice_index is None:
        return upright.apply(_values(volume))
    cut = array_axis(slice_axis)
    if upright.flat or slice_axis not in (0, 1, 2) or not 0 <= slice_index < upright.upright_shape[cut]:
        raise ValueError(f"{volume.path} of shape {volume.shape} has no slice {slice_index} along axis {slice_axis}.")
    part = _values(volume, upright.slice_box(slice_axis, slice_index))
    return upright.apply(part).squeeze(cut)


def _states(path: Path) -> tuple[tuple[int, int], ...]:
    """Return modification time and size of each file that is read; a replacement of a file differs in them."""
    return tuple((state.st_mtime_ns, state.st_size) for state in (source.stat() for source in source_files(path)))


def _values(volume: _Volume, box: tuple[slice, slice, slice] = (slice(None),) * 3) -> np.ndarray:
    """Return the scaled values of a box, (x, y, z) or (x, y, z, 3)."""
    stored = _stored(volume)
    with translate_decoding_errors(volume.path):
        part = np.asarray(stored.reshape(volume.shape + stored.shape[len(volume.shape) :])[box])
    if part.dtype.names is not None:
        part = np.stack([part[name] for name in part.dtype.names[:COLORS]], axis=-1)
    part = part.reshape(*part.shape[:3], COLORS) if volume.colored else part.reshape(part.shape[:3])
    slope, inter = _scaling(volume)
    if (slope, inter) == (1, 0):
        return part
    # float32 holds every 16-bit value in half of the memory that numpy would choose
    number = np.float32 if part.dtype.itemsize <= 2 else np.float64
    return apply_read_scaling(part, number(slope), number(inter))


def _stored(volume: _Volume) -> np.ndarray:
    """Return the unscaled voxels; an uncompressed NIfTI file is memory-mapped."""
    with translate_decoding_errors(volume.path):
        if volume.path.suffix.lower() in NIFTI_SUFFIXES:
            proxy: Any = volume.image.dataobj
            return np.asanyarray(proxy.get_unscaled())
        return _unpacked(volume.path, _states(volume.path))


@lru_cache(maxsize=2)
def _unpacked(path: Path, states: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Decompress the voxels of a file; two files stay in memory. `states` is only part of the cache's key."""
    proxy: Any = _open(path).image.dataobj
    if path.suffix.lower() == ".gz":
        size = int(np.prod(proxy.shape, dtype=object)) * proxy.dtype.itemsize
        with gzip.open(path) as stream:
            values = read_stream(stream, size, proxy.offset).view(proxy.dtype).reshape(proxy.shape, order="F")
    else:
        values = np.asarray(proxy)
    values.setflags(write=False)  # the next caller gets the same array
    return values


def _scaling(volume: _Volume) -> tuple[float, float]:
    proxy = volume.image.dataobj
    return float(getattr(proxy, "slope", 1)), float(getattr(proxy, "inter", 0))


@lru_cache(maxsize=4096)
def _measured(path: Path, states: tuple[tuple[int, int], ...]) -> tuple[float, float]:
    volume = _open(path)
    if volume.colored:
        return 0.0, 255.0
    stored = _stored(volume)
    (slope, inter), ends = _scaling(volume), np.array([stored.min(), stored.max()], dtype=np.float64)
    if not (np.abs(ends * slope + inter) <= LARGEST).all():
        count = int(np.count_nonzero(~(np.abs(stored * slope + inter) <= LARGEST)))
        raise ValueError(f"{path} holds {count} values that are not finite; replace them, for example by 0.")
    low, high = np.percentile(stored, PERCENTILES)
    if low == high:
        low, high = ends
    first, second = sorted((float(low) * slope + inter, float(high) * slope + inter))
    return first, second
