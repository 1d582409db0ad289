"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["remove_unfinished", "replacing", "unfinished_path"]

END = 24  # characters of a name that are kept, suffixes among them: the whole name might become too long


def unfinished_path(path: Path) -> Path:
    """Return a new path beside `path` for what is to take its place; its name ends like that of `path`."""
    return path.with_name(f"{_start(path)}{uuid.uuid4().hex}-{path.name[-END:]}")


def _start(path: Path) -> str:
    """Return how the names of all that is to become `path` begin."""
    digest = hashlib.blake2b(path.name.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    return f".unfinished-{digest}-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, which takes its place when the block ends without an error.

    Its name ends like that of `path`, so that writers see the suffix they go by. Folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes have left beside `path` instead of replacing it.

    Only for the one process that may write `path` at the time.
    """
    for unfinished in path.parent.glob(f"{_start(path)}*"):
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)
