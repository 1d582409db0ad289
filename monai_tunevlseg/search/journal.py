"""Optuna's journal file, robust to writers that are killed or run out of disk space in the middle of a line."""

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

START = b'{"op_code":'  # first bytes of every line

logger = logging.getLogger(__name__)


class RepairingJournal(JournalFileBackend):
    """A journal that removes incomplete lines under its lock.

    No reader has used a line without an end, and its writer has failed; it is cut off before the next line is added.
    When Optuna itself has appended a line to an incomplete one, the incomplete part is overwritten with blanks, so that
    lines keep their positions for concurrent readers.

    Args:
        file_path: path of the file, which is created when it is missing.

    Raises:
        ValueError: when a line is damaged in another way; names the line.
    """

    def __init__(self, file_path: str) -> None:
        super().__init__(file_path)
        self._path = Path(file_path)
        if any(self._damaged_lines()):
            with get_lock_file(self._lock):
                self._repair()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, after an incomplete last line is removed."""
        with get_lock_file(self._lock), self._path.open("r+b") as file:
            _cut_incomplete_line(file)
        super().append_logs(logs)

    def _repair(self) -> None:
        with self._path.open("r+b") as file:
            for number, offset, line in list(self._damaged_lines()):
                length = _incomplete_length(line)
                if length is None:
                    raise ValueError(f"line {number} of {self._path} is damaged")
                file.seek(offset)
                file.write(b" " * length)
                logger.warning(f"line {number} of {self._path} was incomplete and is repaired")

    def _damaged_lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the number, offset and content of complete lines that are not JSON."""
        offset = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") and not _is_entry(line):
                    yield number, offset, line
                offset += len(line)


def _cut_incomplete_line(file: BinaryIO) -> None:
    """Remove the bytes after the last end of a line."""
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


def _incomplete_length(line: bytes) -> int | None:
    """Return the number of bytes before the complete entry at the end of a line; None without such an entry."""
    start = line.rfind(START)
    while start > 0 and not _is_entry(line[start:]):
        start = line.rfind(START, 0, start)
    return start if start > 0 else None


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
