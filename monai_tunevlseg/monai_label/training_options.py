"""Training options in a request: names, types and ranges are checked before they reach a bundle's config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["OPTIONS", "parse_training_options"]

INTEGERS = {"max_epochs": 10_000, "batch_size": 1024, "effective_batch_size": 65_536}
"""Whole numbers from 1 to this maximum."""
FLOATS = {"learning_rate": 100.0, "val_split": 1.0}
"""Numbers above 0 and below this limit."""
BOOLEANS = ("pretrained",)
OPTIONS = (*INTEGERS, *FLOATS, *BOOLEANS)
SERVER_KEYS = ("model", "gpus", "client_id", "local_rank")
"""Keys that MONAI Label and its clients add to a request."""


def parse_training_options(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked training options of a request.

    Args:
        request: ``max_epochs``, ``batch_size`` and ``effective_batch_size`` (whole numbers, 1 or more),
            ``learning_rate`` and ``val_split`` (numbers), ``pretrained`` (true or false), and MONAI Label's own keys.

    Raises:
        ValueError: when a name is unknown, or a value has another type or is outside its range.
    """
    known = (*OPTIONS, *SERVER_KEYS)
    if unknown := [name for name in request if name not in known]:
        raise ValueError(f"{unknown[0]!r:.100} is not a training option; the options are {', '.join(OPTIONS)}.")
    return {name: _checked(name, request[name]) for name in OPTIONS if name in request}


def _checked(name: str, value: Any) -> bool | int | float:
    if name in BOOLEANS:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r:.100}; send true or false.")
        return value
    number = _number(value)
    if name in INTEGERS:
        if number is None or not 1 <= number <= INTEGERS[name] or number != int(number):
            raise ValueError(f"{name} is {value!r:.100}; send a whole number from 1 to {INTEGERS[name]}.")
        return int(number)
    if number is None or not 0 < number < FLOATS[name]:
        raise ValueError(f"{name} is {value!r:.100}; send a number above 0 and below {FLOATS[name]:g}.")
    return float(number)


def _number(value: Any) -> int | float | None:
    """Return a finite number; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None
