"""Decoding of NRRD images, and of the segmentations (`.seg.nrrd`) of 3D Slicer."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np

from monai_tunevlseg.data.io.decoding_errors import UnsupportedFileError, translate_decoding_errors
from monai_tunevlseg.data.io.voxel_data import VoxelProxy, check_voxel_count, read_stream

__all__ = ["NRRD_SUFFIXES", "load_nrrd"]

NRRD_SUFFIXES = (".nrrd", ".seg.nrrd")
MAX_HEADER_BYTES = 2**20  # headers of segmentations with many segments have some ten thousand
VOXEL_BYTES = (1, 2, 4, 8)
TO_RAS = {
    "left-posterior-superior": (-1, -1, 1),
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
}
"""Signs from the axes of a space to right, anterior and superior."""
SPACES = {"lps": "left-posterior-superior", "ras": "right-anterior-superior", "las": "left-anterior-superior"}
SPATIAL_KINDS = ("domain", "space", "???")


def load_nrrd(path: Path) -> nib.Nifti1Image:
    """Open a NRRD file as a NIfTI image with the same voxels in the same order of axes.

    Args:
        path: a `.nrrd` or `.seg.nrrd` file of two or three axes, optionally after an axis of three colors.

    Returns:
        the image, whose voxels are read on every use.

    Raises:
        ValueError: when the file is damaged or has a form that is not supported.
    """
    with translate_decoding_errors(path):
        header, start = _read_header(path)
        sizes, colors = _sizes(header)
        check_voxel_count(sizes)
        dtype = _dtype(header)
        shape = (*sizes, 1, 1)[:4] + (3,) if colors else sizes
        values = VoxelProxy(shape, dtype, lambda: _read_values(path, header, start, shape))
        return nib.Nifti1Image(values, _affine(header, int(colors)), dtype=dtype)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header and the position of the first voxel."""
    with path.open("rb") as file:
        beginning = file.read(MAX_HEADER_BYTES)
    ends = [(beginning.find(gap), len(gap)) for gap in (b"\n\n", b"\r\n\r\n")]
    end = min((place + length for place, length in ends if place >= 0), default=0)
    if not end:
        raise ValueError("its header has no end")
    try:
        header = nrrd.read_header(beginning[:end].decode("ascii", "replace").splitlines(keepends=True))
    except nrrd.NRRDError as error:
        raise ValueError(str(error)) from error
    for field in ("type", "dimension", "sizes", "encoding"):
        if field not in header:
            raise ValueError(f"its header has no {field}")
    for field in ("data file", "datafile", "line skip", "lineskip", "byte skip", "byteskip"):
        if header.get(field):
            raise UnsupportedFileError(f"its header has a {field}; save it with the voxels right after the header")
    return dict(header), end


def _sizes(header: Mapping[str, Any]) -> tuple[tuple[int, ...], bool]:
    """Return the sizes of the spatial axes, and whether an axis of colors precedes them."""
    sizes = tuple(int(size) for size in header["sizes"])
    kinds = [str(kind).lower() for kind in header.get("kinds", ["domain"] * len(sizes))]
    others = [axis for axis, kind in enumerate(kinds) if kind not in SPATIAL_KINDS]
    if len(kinds) != len(sizes) or len(sizes) != header["dimension"] or min(sizes) < 1:
        raise ValueError(f"its sizes {sizes}, kinds {kinds} and dimension {header['dimension']} contradict each other")
    if others and any(str(key).startswith("Segment") for key in header):
        raise UnsupportedFileError(
            f"it has {sizes[others[0]]} layers of overlapping segments; save it without overlaps, as one label map"
        )
    if others and (others != [0] or sizes[0] != 3 or _dtype(header) != np.uint8):
        raise UnsupportedFileError(f"its axes are {', '.join(kinds)} of {sizes}; save only space or 8-bit RGB voxels")
    spatial = sizes[len(others) :]
    if len(spatial) not in (2, 3):
        raise UnsupportedFileError(f"it has the size {sizes}; save it as one or more 2-D or 3-D images")
    return spatial, bool(others)


def _dtype(header: Mapping[str, Any]) -> np.dtype:
    """Return the type of the voxels, as pynrrd reads a single one."""
    one = {"type": header["type"], "dimension": 1, "sizes": np.array([1]), "encoding": "raw"}
    one["endian"] = header.get("endian", "little")
    for width in VOXEL_BYTES:
        try:
            return nrrd.read_data(one, io.BytesIO(bytes(width))).dtype
        except (nrrd.NRRDError, ValueError):
            continue
    raise UnsupportedFileError(f"its type {header['type']} is not supported; save it with one number per voxel")


def _read_values(path: Path, header: Mapping[str, Any], start: int, shape: tuple[int, ...]) -> np.ndarray:
    dtype = _dtype(header)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    with translate_decoding_errors(path), path.open("rb") as file:
        file.seek(start)
        content = _read_content(file, str(header["encoding"]), size)
        values = content.view(dtype)
        if shape[-1] == 3 and len(shape) == 5:  # colors come first in the file
            return np.moveaxis(values.reshape((3, *shape[:4]), order="F"), 0, -1)
        return values.reshape(shape, order="F")


def _read_content(file: io.BufferedReader, encoding: str, size: int) -> np.ndarray:
    if encoding == "raw":
        return read_stream(file, size)
    if encoding in ("gzip", "gz"):
        with gzip.GzipFile(fileobj=file) as stream:
            return read_stream(stream, size)
    if encoding in ("bzip2", "bz2"):
        with bz2.BZ2File(file) as stream:
            return read_stream(stream, size)
    raise UnsupportedFileError(f"its encoding {encoding} is not supported; save it as raw or gzip")


def _affine(header: Mapping[str, Any], first: int) -> np.ndarray | None:
    """Return the (4, 4) matrix from voxels to millimeters, None without one in the header; `first` spatial axis."""
    space = str(header.get("space", "")).lower()
    signs = TO_RAS.get(SPACES.get(space, space))
    directions = np.asarray(header.get("space directions", np.empty((0, 0))), dtype=float)[first:]
    if signs is None or directions.shape != (3, 3) or not np.isfinite(directions).all():
        return None
    affine = np.eye(4)
    affine[:3, :3] = directions.T
    affine[:3, 3] = header.get("space origin", np.zeros(3))
    return np.diag([*signs, 1.0]) @ affine
