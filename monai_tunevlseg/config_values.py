"""Values from outside (a request, a checkpoint, a JSON file, a label's name) on their way into a MONAI config.

MONAI evaluates some of the strings in a config and rewrites others, so that such a value may enter a config only where
MONAI takes it literally.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monai.bundle import ReferenceResolver
from monai.bundle.utils import EXPR_KEY, ID_SEP_KEY, MACRO_KEY

__all__ = ["MAX_TEXT_LENGTH", "refuse_expressions"]

MAX_TEXT_LENGTH = 4096
"""Characters of one value: longer than any path or list of words, short enough to be shown."""


def refuse_expressions(value: Any, where: str) -> None:
    """Refuse a value that is not plain data or that MONAI's config parser would not take literally.

    The parser evaluates ``$...``, replaces ``@name`` and ``%macro``, builds what a mapping calls ``_target_``, merges
    keys that begin with ``+``, and turns every ``#`` into ``::``.

    Args:
        value: None, a boolean, a finite number, a text of at most ``MAX_TEXT_LENGTH`` characters, or lists and mappings
            of these.
        where: the place that it comes from, for the message.

    Raises:
        ValueError: when it is anything else; names the value and the place.
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
        raise ValueError(f"{where} holds a {type(value).__name__} where texts, numbers and lists are expected.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} holds {value}, which is not a finite number.")


def _refuse_key(key: Any, where: str) -> None:
    if not isinstance(key, str):
        raise ValueError(f"{where} has the key {key!r}, which is not a text.")
    if key.startswith(("_", "+")):
        raise ValueError(f"{where} has the key {key!r}, which has a meaning of its own in a MONAI config; rename it.")
    _refuse_text(key, where)


def _refuse_text(text: str, where: str) -> None:
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"{where} holds a text of {len(text)} characters where at most {MAX_TEXT_LENGTH} are taken.")
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
        raise ValueError(f"{where} holds {shown!r}, which {reason}: MONAI would not take it literally; change it.")
