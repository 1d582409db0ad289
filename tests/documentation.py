"""README and the pages beside it and in docs/, and the blocks of commands in them, which tests run by their marker."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

MARKED_BLOCK = re.compile(r"<!-- (?P<marker>[\w -]+) -->\n```(?:sh|python|yaml)\n(?P<commands>.*?)```", re.DOTALL)


def block(marker: str) -> str:
    """Return the commands under ``<!-- marker -->``, which are the same on every page that has them."""
    (commands,) = {found["commands"] for found in MARKED_BLOCK.finditer(TEXT) if found["marker"] == marker}
    return commands


def lines(marker: str) -> list[str]:
    """Return the commands under ``<!-- marker -->`` without their comments."""
    return [line.split(" #")[0].strip() for line in block(marker).splitlines()]
