"""Access to voxels: arrays that are read on use, a size limit, and compressed streams read up to their checksum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from monai_tunevlseg.data.io.decoding_errors import UnsupportedFileError

__all__ = ["MAX_VOXELS", "VoxelProxy", "check_voxel_count", "read_stream"]

MAX_VOXELS = 2**29
"""Limit of one volume, such as 512 x 512 x 2048: some hundred kilobytes can unpack to far more."""
CHUNK = 2**20  # bytes
MAX_TRAILING_BYTES = 2**24  # some programs write more bytes after the last voxel


class Stream(Protocol):
    """A readable stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, and none at the end."""


class VoxelProxy:
    """An array proxy for nibabel's images: shape and type are known, values are read on every use.

    Args:
        shape: of the array.
        dtype: of the array.
        load: reads the array.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, load: Callable[[], np.ndarray]) -> None:
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)
        self._load = load

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the values."""
        values = self._load()
        return values if dtype is None else values.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> Any:
        """Return the indexed values."""
        return self._load()[index]


def check_voxel_count(shape: tuple[int, ...]) -> None:
    """Check that a volume is not too large before memory is allocated.

    Raises:
        UnsupportedFileError: when it has more than `MAX_VOXELS`.
    """
    voxels = int(np.prod(shape, dtype=object))
    if voxels > MAX_VOXELS:
        raise UnsupportedFileError(f"it has {voxels} voxels, more than the limit of {MAX_VOXELS}; crop or resample it")


def read_stream(stream: Stream, size: int, skipped: int = 0) -> np.ndarray:
    """Read all of a decompressing stream, so that its checksum is verified.

    Args:
        stream: the stream.
        size: bytes to return.
        skipped: bytes to skip before them.

    Returns:
        (size,) uint8.

    Raises:
        EOFError: when the stream ends too early.
        ValueError: when the stream is far too long.
    """
    if len(stream.read(skipped)) < skipped:
        raise EOFError(f"it ends within its first {skipped} bytes")
    content = np.empty(size, np.uint8)
    place = 0
    while place < size:
        part = stream.read(min(CHUNK, size - place))
        if not part:
            raise EOFError(f"it holds {place} bytes of voxels instead of the {size} of its header")
        content[place : place + len(part)] = np.frombuffer(part, np.uint8)
        place += len(part)
    rest = 0
    while part := stream.read(CHUNK):
        rest += len(part)
        if rest > MAX_TRAILING_BYTES:
            raise ValueError(f"it holds more than the {size} bytes of voxels of its header")
    return content
