"""Types of hyperparameters: a description for messages, an example, and a parser.

``python -m monai.bundle run`` reads its command line with ``fire``, which knows Python's literals only: ``true``,
``false`` and ``null`` arrive as strings. YAML 1.1 reads ``1e-3`` as a string. The parsers accept these forms.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

__all__ = [
    "DEVICE",
    "LABEL_VALUES",
    "PATH",
    "PATTERN",
    "SWITCH",
    "TEXT",
    "TEXT_OR_TEXTS",
    "TEXTS",
    "WINDOW",
    "ValueType",
    "choice",
    "number",
    "numbers",
    "or_null",
    "or_word",
    "whole_number",
    "whole_numbers",
]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NULLS = ("null", "none")


@dataclass(frozen=True)
class ValueType:
    """The type of a hyperparameter.

    Attributes:
        description: completes the sentence "it must be ...".
        example: a valid value, as written on a command line.
        parse: converts a value, or raises TypeError or ValueError.
    """

    description: str
    example: str
    parse: Callable[[Any], Any]


def number(low: float, high: float, example: str, above_low: bool = False, below_high: bool = False) -> ValueType:
    """Return the type of finite numbers from ``low`` to ``high``.

    Args:
        low: minimum.
        high: maximum.
        example: a valid value.
        above_low: whether to exclude ``low`` itself.
        below_high: whether to exclude ``high`` itself.
    """

    def parse(value: Any) -> float:
        parsed = _as_number(value)
        if not low <= parsed <= high or (above_low and parsed == low) or (below_high and parsed == high):
            raise ValueError
        return parsed

    bounds = f"{'above' if above_low else 'from'} {low:g} {'and below' if below_high else 'to'} {high:g}"
    return ValueType(f"a number {bounds}", example, parse)


def whole_number(low: int, high: int, example: str) -> ValueType:
    """Return the type of whole numbers from ``low`` to ``high``."""

    def parse(value: Any) -> int:
        parsed = _as_number(value)
        if not low <= parsed <= high or parsed != int(parsed):
            raise ValueError
        return int(parsed)

    return ValueType(f"a whole number from {low} to {high}", example, parse)


def numbers(count: int, low: float, high: float, example: str, above_low: bool = False) -> ValueType:
    """Return the type of lists of ``count`` numbers between bounds."""
    item_type = number(low, high, "0", above_low)

    def parse(value: Any) -> list[float]:
        if isinstance(value, str | Mapping) or len(value) != count:
            raise ValueError
        return [item_type.parse(item) for item in value]

    return ValueType(
        f"a list of {count} numbers, each {item_type.description.removeprefix('a number ')}", example, parse
    )


def whole_numbers(low: int, high: int, example: str) -> ValueType:
    """Return the type of lists of whole numbers from ``low`` to ``high``."""
    item_type = whole_number(low, high, "0")

    def parse(value: Any) -> list[int]:
        if isinstance(value, str | Mapping) or not len(value):
            raise ValueError
        return [item_type.parse(item) for item in value]

    return ValueType(f"a list of whole numbers, each from {low} to {high}", example, parse)


def choice(*names: str) -> ValueType:
    """Return the type of one of several names."""

    def parse(value: Any) -> str:
        name = "off" if value is False else value  # YAML 1.1 reads a bare off as false
        if not isinstance(name, str) or name not in names:
            raise ValueError
        return name

    return ValueType(" or ".join([", ".join(names[:-1]), names[-1]]), names[-1], parse)


def or_null(value_type: ValueType) -> ValueType:
    """Return the type with null as another value."""

    def parse(value: Any) -> Any:
        is_null = value is None or (isinstance(value, str) and value.lower() in _NULLS)
        return None if is_null else value_type.parse(value)

    return ValueType(f"{value_type.description}, or null", value_type.example, parse)


def or_word(value_type: ValueType, word: str) -> ValueType:
    """Return the type with a word as another value."""

    def parse(value: Any) -> Any:
        return word if value == word else value_type.parse(value)

    return ValueType(f"{word}, or {value_type.description}", word, parse)


def _as_number(value: Any) -> int | float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _switch(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    """Return a text. Whole numbers count as texts, because ``fire`` reads ``--class_names 1`` as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise TypeError
    return str(value)


def _path(value: Any) -> str:
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _texts(value: Any) -> list[str]:
    names = [value] if isinstance(value, str | int) else value
    if isinstance(names, Mapping) or not len(names):
        raise ValueError
    return [_text(name) for name in names]


def _text_or_texts(value: Any) -> str | list[str]:
    return _path(value) if isinstance(value, str | int | os.PathLike) else _texts(value)


def _label_values(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping) or not value:
        raise TypeError
    return {_text(name): whole_number(0, 2**31 - 1, "1").parse(label) for name, label in value.items()}


def _window(value: Any) -> list[float]:
    if isinstance(value, str | Mapping) or len(value) != 2:
        raise ValueError
    low, high = (number(-1e9, 1e9, "0").parse(end) for end in value)
    if low >= high:
        raise ValueError
    return [low, high]


def _pattern(value: Any) -> str:
    try:
        re.compile(_text(value))
    except re.error as error:
        raise ValueError(str(error)) from error
    return str(value)


def _device(value: Any) -> Any:
    try:
        device = torch.device(value)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError
    return value


SWITCH = ValueType("true or false", "true", _switch)
TEXT = ValueType("a non-empty text (nested quotes keep 1.5 or true a text)", "\"'breast tumor'\"", _text)
TEXTS = ValueType("one or more non-empty texts", "\"['polyp']\"", _texts)
TEXT_OR_TEXTS = ValueType("a word, a path, or a list of non-empty texts", "\"['car','dog']\"", _text_or_texts)
PATH = ValueType("a path", "./folder", _path)
PATTERN = ValueType("a regular expression", r"'([a-z]+)_'", _pattern)
LABEL_VALUES = ValueType("a whole number, 0 or more, for each class", "\"{'polyp': 1}\"", _label_values)
WINDOW = ValueType("a list of two numbers in ascending order", "[-160,240]", _window)
DEVICE = ValueType("cpu, or a device of PyTorch on this machine", "cpu", _device)
