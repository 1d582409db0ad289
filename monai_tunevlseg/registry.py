"""A registry of named variants, without unknown or duplicate names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

__all__ = ["Registry"]


class Registry(Generic[T]):
    """Maps names in configs to variants, in the order of registration.

    Args:
        kind: singular noun for the variants in messages, such as "method".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._variants: dict[str, T] = {}

    def register(self, name: str, variant: T) -> T:
        """Add a variant and return it.

        Raises:
            ValueError: when the name is taken.
        """
        if name in self._variants:
            raise ValueError(f"{self.kind} {name!r} is already registered; choose another name.")
        self._variants[name] = variant
        return variant

    @contextmanager
    def temporarily(self, name: str, variant: T) -> Iterator[T]:
        """Register a variant for the duration of a ``with`` block, as tests do.

        Raises:
            ValueError: when the name is taken.
        """
        self.register(name, variant)
        try:
            yield variant
        finally:
            del self._variants[name]

    def __getitem__(self, name: str) -> T:
        """Return the variant with this name.

        Raises:
            ValueError: when the name is unknown; the message has the known names and the nearest.
        """
        if name in self._variants:
            return self._variants[name]
        nearest = difflib.get_close_matches(str(name), self._variants, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise ValueError(f"unknown {self.kind} {name!r}: known are {', '.join(self._variants)}{hint}")

    def __contains__(self, name: object) -> bool:
        """Return whether a variant has this name."""
        return name in self._variants

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._variants)

    def __len__(self) -> int:
        """Return the number of variants."""
        return len(self._variants)
