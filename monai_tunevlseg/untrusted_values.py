"""Check untrusted values (of requests, checkpoints, JSON files) before they enter a MONAI config.

MONAI evaluates some strings of a config and rewrites others, so only values that MONAI takes literally may enter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monai.bundle import ReferenceResolver
from monai.bundle.utils import EXPR_KEY, ID_SEP_KEY, MACRO_KEY

__all__ = ["MAX_TEXT_LENGTH", "refuse_expressions"]

MAX_TEXT_LENGTH = 4096
"""Maximum number of characters of a text: longer than any path or list of words, short enough to display."""


def refuse_expressions(value: Any, where: str) -> None:
    """Refuse a value that is not plain data, or that MONAI's config parser would not take literally.

    The parser evaluates ``$...``, replaces ``@name`` and ``%macro``, instantiates mappings with a ``_target_``, merges
    keys that begin with ``+``, and replaces each ``#`` with ``::``.

    Args:
        value: None, a boolean, a finite number, a text of at most ``MAX_TEXT_LENGTH`` characters, or lists and mappings
            of these.
        where: origin of the value, for error messages.

    Raises:
        ValueError: when the value is anything else; names the value and its origin.
    """
    if isinstance(value, str):
        _refuse_text(value, where)
    elif isinstance(value, Mapping):
        for key, content in value.items():
            _refuse_key(key, where)
            refuse_expressions(content, f"{where}, {key}")
    elif isinstance(value, (list, tuple)):
        for content in value:
            refuse_expressions(content, where)
    elif value is not None and not isinstance(value, (bool, int, float)):
        raise ValueError(
            f"{where} holds a {type(value).__name__}; only texts, numbers, lists and mappings are accepted."
        )
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} holds {value}, which is not a finite number.")


def _refuse_key(key: Any, where: str) -> None:
    if not isinstance(key, str):
        raise ValueError(f"{where} has the key {key!r}, which is not a text.")
    if key.startswith(("_", "+")):
        raise ValueError(f"{where} has the key {key!r}, which has a special meaning in MONAI configs; rename it.")
    _refuse_text(key, where)


def _refuse_text(text: str, where: str) -> None:
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"{where} holds a text of {len(text)} characters; the maximum is {MAX_TEXT_LENGTH}.")
    reason = None
    if text.startswith((EXPR_KEY, MACRO_KEY)):
        reason = f"begins with {text[0]!r}"
    elif "#" in text:
        reason = "contains '#'"
    elif ID_SEP_KEY in text:
        reason = f"contains {ID_SEP_KEY!r}"
    elif ReferenceResolver.id_matcher.fullmatch(text):
        reason = "is a reference (@...)"
    if reason is not None:
        shown = text if len(text) <= 80 else text[:77] + "..."
        raise ValueError(f"{where} holds {shown!r}, which {reason}; MONAI would not take it literally.")
