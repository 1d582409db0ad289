"""What an inspection finds, as text that is safe to print."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "printable"]

MAX_LENGTH = 300  # characters of a text


@dataclass(frozen=True)
class Finding:
    """Something in a bundle that runs code, can run code, or cannot be inspected.

    Attributes:
        file: path of the file in the bundle.
        kind: kind of the finding, such as ``expression`` or ``link``.
        text: the code, or the reason.
        place: id of the value in a config, with ``::`` between its parts; empty outside configs.
    """

    file: str
    kind: str
    text: str
    place: str = ""

    def __str__(self) -> str:
        where = ", ".join(printable(part) for part in (self.file, self.place) if part)
        return f"{where}: {self.kind}: {printable(self.text)}"


def printable(text: str) -> str:
    """Return a text as one line without control characters, which could change what a terminal shows."""
    shown = text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}... ({len(text)} characters)"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
