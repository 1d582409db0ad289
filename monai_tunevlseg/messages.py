"""Parts of messages."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["shorten"]


def shorten(names: Iterable[object], most: int = 10) -> str:
    """List names for a message: at most `most`, then how many more."""
    listed = [str(name) for name in names]
    shown = ", ".join(listed[:most])
    return shown if len(listed) <= most else f"{shown}, ... and {len(listed) - most} more"
