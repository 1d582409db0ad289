"""Values of a bundle's hyperparameters as a command line gives them.

``python -m monai.bundle run`` reads overrides with ``fire``, which knows Python's literals only: ``true``, ``false``
and ``null`` arrive as strings, and MONAI drops ``None``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["ZERO_SHOT", "class_list", "optional"]

ZERO_SHOT: Mapping[str, Any] = MappingProxyType({"method": None, "unfreeze": None, "upsampler": False})
"""The options with which any bundle uses the base model unchanged."""


def optional(value: Any) -> Any:
    """Return None for the texts ``null`` and ``none``, else the value itself."""
    return None if isinstance(value, str) and value.lower() in ("null", "none") else value


def class_list(value: str | Iterable[str]) -> list[str]:
    """Return class names given as one name or as a sequence of names.

    Raises:
        ValueError: when there is none, or one that is empty or no text.
    """
    names = [value] if isinstance(value, str) else list(value)
    if not names or any(not isinstance(name, str) or not name.strip() for name in names):
        raise ValueError(f"class_names is {value!r}; give one or more names, such as \"['polyp']\".")
    return names
