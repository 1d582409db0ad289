"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["remove_unfinished", "replacing"]

_UNFINISHED = re.compile(r"\.\d+-[0-9a-f]{32}-(?P<name>.+)", re.DOTALL)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, which takes its place when the block ends without an error.

    Its name ends like that of `path`, so that writers see the suffix they go by. Folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{uuid.uuid4().hex}-{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes have left beside `path` instead of replacing it.

    Only for the one process that may write `path` at the time.
    """
    for unfinished in path.parent.glob(".*"):
        match = _UNFINISHED.fullmatch(unfinished.name)
        if match and match["name"] == path.name:
            unfinished.unlink(missing_ok=True)
