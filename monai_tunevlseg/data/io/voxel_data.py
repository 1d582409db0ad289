"""Voxels that are read when they are asked for, and compressed streams that are read to their checksum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

__all__ = ["MAX_VOXELS", "VoxelProxy", "check_voxel_count", "read_stream"]

MAX_VOXELS = 2**29
"""Of one volume, such as 512 x 512 x 2048: what some hundred kilobytes can unpack to has to end somewhere."""
CHUNK = 2**20  # bytes
LONGEST_REST = 2**24  # bytes that some programs leave after the last voxel


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


class VoxelProxy:
    """An array of known shape and type, as nibabel's images take it, whose values are read at every use.

    Args:
        shape: of the array.
        dtype: of the array.
        load: reads it.
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
        """Return a part of the values."""
        return self._load()[index]


def check_voxel_count(shape: tuple[int, ...]) -> None:
    """Refuse what no memory is meant to hold, before any is taken.

    Raises:
        ValueError: when there are more than `MAX_VOXELS`.
    """
    voxels = int(np.prod(shape, dtype=object))
    if voxels > MAX_VOXELS:
        raise ValueError(f"it has {voxels} voxels, more than the {MAX_VOXELS} that are read; crop or resample it")


def read_stream(stream: Stream, size: int, skipped: int = 0) -> np.ndarray:
    """Read a stream that is unpacked on the way, all of it, so that its checksum is compared.

    Args:
        stream: what to read.
        size: bytes that are wanted.
        skipped: bytes before them.

    Returns:
        (size,) uint8.

    Raises:
        EOFError: when it ends too early.
        ValueError: when it has far more bytes.
    """
    if len(stream.read(skipped)) < skipped:
        raise EOFError(f"it ends within its first {skipped} bytes")
    content = np.empty(size, np.uint8)
    place = 0
    while place < size:
        part = stream.read(min(CHUNK, size - place))
        if not part:
            raise EOFError(f"it holds {place} bytes of voxels where its header says {size}")
        content[place : place + len(part)] = np.frombuffer(part, np.uint8)
        place += len(part)
    rest = 0
    while part := stream.read(CHUNK):
        rest += len(part)
        if rest > LONGEST_REST:
            raise ValueError(f"it holds more than the {size} bytes of voxels that its header says")
    return content
