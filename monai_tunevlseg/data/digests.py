"""Digests by which a report or a record recognizes a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["file_digest"]


def file_digest(path: str | Path) -> str:
    """Digest a file's bytes: 16 hexadecimal digits, by which a report names its checkpoint."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
