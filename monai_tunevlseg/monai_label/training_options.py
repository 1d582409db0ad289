"""What a request may ask of a training: known names, typed and bounded, before they can reach a bundle's config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["OPTIONS", "parse_training_options"]

WHOLE = {"max_epochs": 10_000, "batch_size": 1024, "effective_batch_size": 65_536}
"""Whole numbers from 1 to this."""
REAL = {"learning_rate": 100.0, "val_split": 1.0}
"""Numbers above 0 and below this."""
SWITCHES = ("pretrained",)
OPTIONS = (*WHOLE, *REAL, *SWITCHES)
OF_THE_SERVER = ("model", "gpus", "client_id", "local_rank")
"""What MONAI Label and its clients add to a request."""


def parse_training_options(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a training that a request holds, checked.

    Args:
        request: ``max_epochs``, ``batch_size`` and ``effective_batch_size`` (whole numbers, 1 or more),
            ``learning_rate`` and ``val_split`` (numbers), ``pretrained`` (true or false), and what MONAI Label adds.

    Raises:
        ValueError: when a name is unknown, or a value has another type or lies outside its range; names both.
    """
    known = (*OPTIONS, *OF_THE_SERVER)
    if unknown := [name for name in request if name not in known]:
        raise ValueError(f"a training has no option {unknown[0]!r:.100}; its options are {', '.join(OPTIONS)}.")
    return {name: _checked(name, request[name]) for name in OPTIONS if name in request}


def _checked(name: str, value: Any) -> bool | int | float:
    if name in SWITCHES:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r:.100}; send true or false.")
        return value
    number = _number(value)
    if name in WHOLE:
        if number is None or not 1 <= number <= WHOLE[name] or number != int(number):
            raise ValueError(f"{name} is {value!r:.100}; send a whole number from 1 to {WHOLE[name]}.")
        return int(number)
    if number is None or not 0 < number < REAL[name]:
        raise ValueError(f"{name} is {value!r:.100}; send a number above 0 and below {REAL[name]:g}.")
    return float(number)


def _number(value: Any) -> int | float | None:
    """Return a finite number, None for everything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None
