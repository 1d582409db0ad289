"""Where entries are kept: in memory or on disk, never more than so many bytes."""

from __future__ import annotations

import json
import logging
import os
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

__all__ = ["DiskStore", "Entry", "FeatureStore", "MemoryStore", "size_of"]

SUFFIX = ".features.safetensors"  # of its own, so that other files in the folder are never removed
CHECKSUMS = "crc32"
LOOK_AGAIN = 64 * 2**20  # bytes at most that a process writes before it asks what others have written
HEADER = 4096  # bytes that a file has besides its tensors, at most

ABANDONED = 3600 * 10**9  # nanoseconds after which what is unfinished was left by a killed process

Entry = dict[str, Tensor]

logger = logging.getLogger(__name__)


class FeatureStore(Protocol):
    """Keeps entries by key."""

    def __contains__(self, key: str) -> bool: ...

    def get(self, key: str) -> Entry | None:
        """Return an entry, or None where there is none."""

    def put(self, key: str, entry: Entry) -> bool:
        """Keep an entry, and tell whether there was room for it."""


def size_of(entry: Entry) -> int:
    """Return the bytes of an entry's tensors."""
    return sum(value.nbytes for value in entry.values())


class MemoryStore:
    """Keeps entries in this process.

    Args:
        max_bytes: of all tensors together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: dict[str, Entry] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> Entry | None:
        """Return an entry, or None where there is none."""
        return self._entries.get(key)

    def put(self, key: str, entry: Entry) -> bool:
        """Keep an entry, and tell whether there was room for it."""
        if key in self._entries:
            return True
        if self.bytes + size_of(entry) > self.max_bytes:
            return False
        # a row of a batch would keep the batch
        self._entries[key] = {name: value.clone() for name, value in entry.items()}
        self.bytes += size_of(entry)
        return True


class DiskStore:
    """Keeps each entry in a file of a folder, which runs and processes may share.

    A file is there whole or not at all, and is read only with the checksums that it was written with. Where there is no
    room, files go that have not been used for longest; never those that were used since this store was opened.

    Args:
        directory: the folder; made when the first entry is put.
        max_bytes: of all files together. Processes that write at once may exceed it by 64 MiB each for a moment.
    """

    def __init__(self, directory: str | Path, max_bytes: int) -> None:
        self.directory = Path(directory).expanduser()
        self.max_bytes = max_bytes
        self._allowance = 0  # bytes that may be written before looking again
        self._used: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def get(self, key: str) -> Entry | None:
        """Return an entry; None where there is none, or a damaged one, which the log names."""
        path = self._path(key)
        try:
            entry = _read(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SafetensorError) as error:
            logger.warning(f"the entry {path} of the feature cache is damaged ({error}); it is computed again.")
            return None
        self._used.add(path.name)
        with suppress(OSError):  # in a folder that may only be read
            os.utime(path)  # what was used last goes last
        return entry

    def put(self, key: str, entry: Entry) -> bool:
        """Keep an entry in place of any before it, and tell whether there was room for it."""
        path, size = self._path(key), size_of(entry) + HEADER
        if size > self._allowance:
            wanted = max(size, min(LOOK_AGAIN, self.max_bytes // 64))
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
        """Remove what was not used for longest until there is room; return the bytes that there is room for."""
        files = []
        abandoned = time.time_ns() - ABANDONED
        for path in self.directory.glob(f"*{SUFFIX}"):
            try:
                files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
            except FileNotFoundError:  # another process has removed it
                continue
        free = self.max_bytes - sum(size for _, size, _ in files)
        for changed, size, path in sorted(files):
            if free >= wanted:
                break
            being_written = path.name.startswith(".") and changed > abandoned
            if path.name not in self._used and not being_written:
                path.unlink(missing_ok=True)
                free += size
        return max(free, 0)


def _read(path: Path) -> Entry:
    """Read a file.

    Raises:
        ValueError: when its content is not what was written.
    """
    with safe_open(path, framework="pt") as file:
        sums = json.loads((file.metadata() or {}).get(CHECKSUMS, "{}"))
        entry = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if {name: _checksum(value) for name, value in entry.items()} != sums:
        raise ValueError("its checksums differ")
    return entry


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data)
