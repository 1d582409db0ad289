"""By what a report or a record knows a file again."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["file_digest"]


def file_digest(path: str | Path) -> str:
    """Digest a file's bytes: 16 hexadecimal digits, by which a report tells what checkpoint it is about."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
