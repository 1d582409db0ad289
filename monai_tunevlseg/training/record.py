"""What a run was given: its hyperparameters, beside the checkpoint that they led to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle.utils import ID_SEP_KEY

from monai_tunevlseg.data.atomic import replacing

__all__ = ["HYPERPARAMETERS", "write_hyperparameters"]

HYPERPARAMETERS = "hyperparameters.json"


def write_hyperparameters(directory: str | Path, resolved: Mapping[str, Any]) -> None:
    """Write the values at the outermost level of a config that are plain: numbers, texts, switches, lists of them.

    Args:
        directory: of the checkpoints; gets ``hyperparameters.json``.
        resolved: what the config's ids stand for, those below others included.
    """
    values = {name: value for name, value in resolved.items() if ID_SEP_KEY not in name and _is_plain(value)}
    with replacing(Path(directory) / HYPERPARAMETERS) as unfinished:
        unfinished.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | dict):
        return all(_is_scalar(item) for item in (value.values() if isinstance(value, dict) else value))
    return _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
