"""Escape untrusted texts for Markdown."""

from __future__ import annotations

import html
import re

__all__ = ["escape_markdown"]


def escape_markdown(text: str) -> str:
    """Return a text as one line of Markdown that shows it literally, without markup, links or HTML."""
    escaped = re.sub(r"([\\`*\[\]|~$])", r"\\\1", re.sub(r"\s+", " ", text))
    return html.escape(escaped, quote=False)
