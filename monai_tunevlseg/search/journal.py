"""Optuna's journal file, which survives writers that are killed, or that run out of disk, in the middle of a line."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file

__all__ = ["RepairingJournal"]

START = b'{"op_code":'  # of every line

logger = logging.getLogger(__name__)


class RepairingJournal(JournalFileBackend):
    """A journal whose half lines are taken out under its lock.

    Nobody has read a line without an end, and its writer has failed: before the next line is added it is cut off. Where
    an earlier version has added the next line to such a half one, the half is overwritten with blanks, so that no line
    changes its place for those who read the file at this moment.

    Args:
        file_path: the file; made when it is missing.

    Raises:
        ValueError: when a line is damaged in another way; names it.
    """

    def __init__(self, file_path: str) -> None:
        super().__init__(file_path)
        self._path = Path(file_path)
        if any(self._damaged_lines()):
            with get_lock_file(self._lock):
                self._repair()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines; what an earlier writer has left of a line is removed before."""
        with get_lock_file(self._lock), self._path.open("r+b") as file:
            _cut_half_line(file)
        super().append_logs(logs)

    def _repair(self) -> None:
        with self._path.open("r+b") as file:
            for number, offset, line in list(self._damaged_lines()):
                half = _length_of_half(line)
                if half is None:
                    raise ValueError(f"line {number} of {self._path} is damaged")
                file.seek(offset)
                file.write(b" " * half)
                logger.warning(f"line {number} of {self._path} had been written half, and was repaired")

    def _damaged_lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield number, offset and content of the lines with an end that are not JSON."""
        offset = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") and not _is_entry(line):
                    yield number, offset, line
                offset += len(line)


def _cut_half_line(file: BinaryIO) -> None:
    """Remove what follows the last end of a line."""
    end = file.seek(0, os.SEEK_END)
    kept = end
    while kept > 0:
        start = max(0, kept - 4096)
        file.seek(start)
        found = file.read(kept - start).rfind(b"\n")
        if found >= 0:
            kept = start + found + 1
            break
        kept = start
    if kept < end:
        file.truncate(kept)


def _length_of_half(line: bytes) -> int | None:
    """Return how many bytes of a line lie before the whole entry that it ends with; None where it has none."""
    start = line.rfind(START)
    while start > 0 and not _is_entry(line[start:]):
        start = line.rfind(START, 0, start)
    return start if start > 0 else None


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
