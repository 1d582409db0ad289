"""The stores of the feature cache, in memory or on disk, with a maximum size."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from monai_tunevlseg.atomic_files import atomic_file

__all__ = ["CachedTensors", "DiskStore", "FeatureStore", "MemoryStore", "RecentStore", "size_of"]

SUFFIX = ".features.safetensors"  # files with other suffixes in the folder are never removed
CHECKSUMS = "crc32"
RESCAN_BYTES = 64 * 2**20  # maximum that a process writes before it scans the folder again
HEADER_BYTES = 4096  # maximum size of a file without its tensors

ABANDONED_NS = 3600 * 10**9  # age of an unfinished file that a killed process has left

CachedTensors = dict[str, Tensor]

logger = logging.getLogger(__name__)


class FeatureStore(Protocol):
    """A store of entries by key."""

    def __contains__(self, key: str) -> bool: ...

    def get(self, key: str) -> CachedTensors | None:
        """Return an entry; None if it is missing."""

    def put(self, key: str, entry: CachedTensors) -> bool:
        """Store an entry; return whether there was room for it."""


def size_of(entry: CachedTensors) -> int:
    """Return the bytes of an entry's tensors."""
    return sum(value.nbytes for value in entry.values())


class MemoryStore:
    """A store in the memory of this process.

    Args:
        max_bytes: maximum size of all tensors together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: dict[str, CachedTensors] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> CachedTensors | None:
        """Return an entry; None if it is missing."""
        return self._entries.get(key)

    def put(self, key: str, entry: CachedTensors) -> bool:
        """Store an entry; return whether there was room for it."""
        if key in self._entries:
            return True
        if self.bytes + size_of(entry) > self.max_bytes:
            return False
        # a row of a batch would keep the batch
        self._entries[key] = {name: value.clone() for name, value in entry.items()}
        self.bytes += size_of(entry)
        return True


class RecentStore(MemoryStore):
    """A store in memory that drops the least recently used entries to make room; threads may share it.

    Args:
        max_bytes: maximum size of all tensors together.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._lock = threading.Lock()

    def get(self, key: str) -> CachedTensors | None:
        """Return an entry; None if it is missing."""
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._entries[key] = entry  # the last one is the most recently used
            return entry

    def put(self, key: str, entry: CachedTensors) -> bool:
        """Store an entry; return whether it is not larger than the whole store."""
        with self._lock:
            if key not in self._entries and size_of(entry) <= self.max_bytes:
                while self.bytes + size_of(entry) > self.max_bytes:
                    self.bytes -= size_of(self._entries.pop(next(iter(self._entries))))
            return super().put(key, entry)


class DiskStore:
    """A store with a file per entry in a folder that runs and processes may share.

    Files are written atomically, and their checksums are compared when they are read. Without room, the least recently
    used files are removed, except those used since this store was opened.

    Args:
        directory: the folder; created with the first entry.
        max_bytes: maximum size of all files together. Concurrent processes may exceed it briefly by 64 MiB each.
    """

    def __init__(self, directory: str | Path, max_bytes: int) -> None:
        self.directory = Path(directory).expanduser()
        self.max_bytes = max_bytes
        self._allowance = 0  # bytes that may be written before the next scan
        self._used: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def get(self, key: str) -> CachedTensors | None:
        """Return an entry; None if it is missing, or damaged, which is logged."""
        path = self._path(key)
        try:
            entry = _read(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SafetensorError) as error:
            logger.warning(f"the entry {path} of the feature cache is damaged ({error}); it is computed again.")
            return None
        self._used.add(path.name)
        with suppress(OSError):  # in a read-only folder
            os.utime(path)  # the most recently used is removed last
        return entry

    def put(self, key: str, entry: CachedTensors) -> bool:
        """Store an entry in place of an earlier one; return whether there was room for it."""
        path, size = self._path(key), size_of(entry) + HEADER_BYTES
        if size > self._allowance:
            wanted = max(size, min(RESCAN_BYTES, self.max_bytes // 64))
            self._allowance = min(self._make_room(wanted), wanted)
        if size > self._allowance:
            return False
        plain = {name: value.contiguous().cpu() for name, value in entry.items()}
        sums = {name: _checksum(value) for name, value in plain.items()}
        with atomic_file(path) as unfinished:
            save_file(plain, unfinished, {CHECKSUMS: json.dumps(sums)})
        self._allowance -= path.stat().st_size
        self._used.add(path.name)
        return True

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}{SUFFIX}"

    def _make_room(self, wanted: int) -> int:
        """Remove the least recently used files until there is room; return the free bytes."""
        files = []
        oldest = time.time_ns() - ABANDONED_NS
        for path in self.directory.glob(f"*{SUFFIX}"):
            try:
                files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
            except FileNotFoundError:  # another process has removed it
                continue
        free = self.max_bytes - sum(size for _, size, _ in files)
        for changed, size, path in sorted(files):
            if free >= wanted:
                break
            being_written = path.name.startswith(".") and changed > oldest
            if path.name not in self._used and not being_written:
                path.unlink(missing_ok=True)
                free += size
        return max(free, 0)


def _read(path: Path) -> CachedTensors:
    """Read a file.

    Raises:
        ValueError: when its checksums differ.
    """
    with safe_open(path, framework="pt") as file:
        sums = json.loads((file.metadata() or {}).get(CHECKSUMS, "{}"))
        entry = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if {name: _checksum(value) for name, value in entry.items()} != sums:
        raise ValueError("its checksums differ")
    return entry


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data)
