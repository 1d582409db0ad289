"""Atomic writes: a file or folder appears under its name when it is complete, or not at all."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "atomic_file",
    "atomic_folder",
    "remove_unfinished",
    "unfinished_folder",
    "unfinished_path",
    "write_text_atomically",
]

NAME_END = 24  # characters kept of a name, suffixes included: the whole name might become too long


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to, which replaces `path` when the block ends without an error.

    Its name ends like that of `path`, because writers choose a format by the suffix. Parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, which is renamed to `path` when the block ends without an error.

    Parent folders are created.

    Raises:
        OSError: when `path` exists by then and is not an empty folder.
    """
    with unfinished_folder(path) as unfinished:
        yield unfinished
        unfinished.replace(path)


@contextmanager
def unfinished_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path` for files that replace those in `path`; it is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(path)
    unfinished.mkdir()
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8 with :func:`atomic_file`."""
    with atomic_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def unfinished_path(path: Path) -> Path:
    """Return a new path beside `path` for its successor; the name ends like that of `path`."""
    return path.with_name(f"{_prefix(path)}{uuid.uuid4().hex}-{path.name[-NAME_END:]}")


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes have left beside `path` instead of replacing it.

    Only the process that alone may write `path` at the time calls this.
    """
    for unfinished in path.parent.glob(f"{_prefix(path)}*"):
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    """Return the common prefix of the names of all unfinished successors of `path`."""
    digest = hashlib.blake2b(path.name.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    return f".unfinished-{digest}-"
