"""Texts of others in Markdown."""

from __future__ import annotations

import html
import re

__all__ = ["escape_markdown"]


def escape_markdown(text: str) -> str:
    """Return a text in one line that Markdown shows letter by letter: with no markup, link or HTML of its own."""
    escaped = re.sub(r"([\\`*\[\]|~$])", r"\\\1", re.sub(r"\s+", " ", text))
    return html.escape(escaped, quote=False)
