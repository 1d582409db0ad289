"""Digests by which reports and records recognize a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["file_digest"]


def file_digest(path: str | Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 digest of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
