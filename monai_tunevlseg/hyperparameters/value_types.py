"""Kinds of hyperparameters: what a value may be, in words and with an example, and how its forms are read.

``fire``, which reads the command line of ``python -m monai.bundle run``, knows Python's literals only, and YAML 1.1
reads ``1e-3`` as a text; a kind takes such forms for what they mean.
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
    "TEXTS",
    "WINDOW",
    "ValueType",
    "choice",
    "number",
    "numbers",
    "or_null",
    "whole_number",
]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NULLS = ("null", "none")


@dataclass(frozen=True)
class ValueType:
    """What a hyperparameter may be.

    Attributes:
        description: complete "it must be ...".
        example: a right value as it is written on a command line.
        parse: returns the typed value; raises TypeError or ValueError for a wrong one.
    """

    description: str
    example: str
    parse: Callable[[Any], Any]


def number(low: float, high: float, example: str, above_low: bool = False, below_high: bool = False) -> ValueType:
    """Return the type of finite numbers from ``low`` to ``high``.

    Args:
        low: the smallest one.
        high: the largest one.
        example: a right value.
        above_low: whether ``low`` itself is too small.
        below_high: whether ``high`` itself is too large.
    """

    def parse(value: Any) -> float:
        found = _as_number(value)
        if not low <= found <= high or (above_low and found == low) or (below_high and found == high):
            raise ValueError
        return found

    bounds = f"{'above' if above_low else 'from'} {low:g} {'and below' if below_high else 'to'} {high:g}"
    return ValueType(f"a number {bounds}", example, parse)


def whole_number(low: int, high: int, example: str) -> ValueType:
    """Return the type of whole numbers from ``low`` to ``high``."""

    def parse(value: Any) -> int:
        found = _as_number(value)
        if not low <= found <= high or found != int(found):
            raise ValueError
        return int(found)

    return ValueType(f"a whole number from {low} to {high}", example, parse)


def numbers(count: int, low: float, high: float, example: str, above_low: bool = False) -> ValueType:
    """Return the type of lists of numbers between bounds."""
    one = number(low, high, "0", above_low)

    def parse(value: Any) -> list[float]:
        if isinstance(value, str | Mapping) or len(value) != count:
            raise ValueError
        return [one.parse(item) for item in value]

    return ValueType(f"a list of {count} numbers, each {one.description.removeprefix('a number ')}", example, parse)


def choice(*names: str) -> ValueType:
    """Return the type of texts out of a list."""

    def parse(value: Any) -> str:
        meant = "off" if value is False else value  # what YAML 1.1 reads a bare off as
        if not isinstance(meant, str) or meant not in names:
            raise ValueError
        return meant

    return ValueType(" or ".join([", ".join(names[:-1]), names[-1]]), names[-1], parse)


def or_null(value_type: ValueType) -> ValueType:
    """Return the type that also takes null."""

    def parse(value: Any) -> Any:
        return (
            None if value is None or (isinstance(value, str) and value.lower() in _NULLS) else value_type.parse(value)
        )

    return ValueType(f"{value_type.description}, or null", value_type.example, parse)


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
    """Return a text; a whole number, which ``fire`` makes of ``--class_names 1``, is one too."""
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
TEXT = ValueType("a text that is not empty (quotes inside quotes keep 1.5 or true a text)", "\"'breast tumor'\"", _text)
TEXTS = ValueType("one or more texts, none of them empty", "\"['polyp']\"", _texts)
PATH = ValueType("a path", "./folder", _path)
PATTERN = ValueType("a regular expression", r"'([a-z]+)_'", _pattern)
LABEL_VALUES = ValueType("a whole number, 0 or more, for each class", "\"{'polyp': 1}\"", _label_values)
WINDOW = ValueType("a list of two numbers, the lower one first", "[-160,240]", _window)
DEVICE = ValueType("cpu, or a device that this machine's PyTorch has", "cpu", _device)
