"""``calibration.json`` beside a checkpoint, which holds the digest of the checkpoint that it belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.calibration.calibration import Calibration, ClassCalibration, PresenceCalibration
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.json_files import read_json_object, schema_violation

__all__ = ["CALIBRATION", "read_calibration", "remove_calibration", "write_calibration"]

CALIBRATION = "calibration.json"
"""Name of the file, in the folder of the checkpoint."""
FORMAT_VERSION = 1
SPLIT = "val"
_PERCENT = {"type": "number", "minimum": 0, "maximum": 100}
# wider than what is fitted: float32 has both temperatures, and silenced masks are below all thresholds
_TEMPERATURE = {"type": "number", "minimum": 1e-6, "maximum": 1e6}
_THRESHOLD = {"type": "number", "minimum": 1e-12, "maximum": 1 - 1e-12}
_LOSS = {"type": "number", "minimum": 0, "maximum": 1e6}
_CLASS: Mapping[str, Any] = {
    "temperature": _TEMPERATURE,
    "threshold": _THRESHOLD,
    "pairs": {"type": "integer", "minimum": 1},
    **dict.fromkeys(("log_loss", "log_loss_before"), _LOSS),
    **dict.fromkeys(("dice", "dice_before"), _PERCENT),
}
_PRESENCE: Mapping[str, Any] = {
    "temperature": _TEMPERATURE,
    "bias": {"type": "number", "minimum": -1e6, "maximum": 1e6},
    **dict.fromkeys(("present", "absent"), {"type": "integer", "minimum": 1}),
    **dict.fromkeys(("log_loss", "log_loss_before"), _LOSS),
}
_WEIGHTS: Mapping[str, Any] = {
    "type": "array",
    "maxItems": 65536,
    "items": {"type": "number", "minimum": -1e6, "maximum": 1e6},
}


def _object_of(entries: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    properties = {**entries, **(optional or {})}
    return {"type": "object", "properties": properties, "required": [*entries], "additionalProperties": False}


_SCHEMA: Mapping[str, Any] = {
    "properties": {
        "format_version": {"const": FORMAT_VERSION},
        "checkpoint_digest": {"type": "string"},
        "split": {"const": SPLIT},
        "classes": {"type": "object", "additionalProperties": _object_of(_CLASS)},
        "presence": _object_of(_PRESENCE, {"weights": _WEIGHTS}),
    },
    "required": ["format_version", "checkpoint_digest", "split", "classes"],
}


def write_calibration(checkpoint: str | Path, calibration: Calibration, digest: str) -> Path:
    """Write the calibration of a checkpoint with this digest beside it, atomically, and return the path of the file."""
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "checkpoint_digest": digest,
        "split": SPLIT,
        "classes": {name: asdict(fitted) for name, fitted in calibration.classes.items()},
    }
    if calibration.presence is not None:
        content["presence"] = asdict(calibration.presence)
    path = Path(checkpoint).with_name(CALIBRATION)
    write_text_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return path


def read_calibration(checkpoint: str | Path, calibration: str | bool = "auto") -> Calibration | None:
    """Read the calibration of a checkpoint; None if it has none, or there is no checkpoint.

    Args:
        checkpoint: path of the checkpoint.
        calibration: the option of that name: ``auto``, or ``off`` for None; a bare ``off`` in YAML is False.

    Raises:
        ValueError: when the option is neither, the file beside the checkpoint is not a calibration, or it belongs to
            another checkpoint.
    """
    if calibration not in ("auto", "off", False):
        raise ValueError(f"calibration is {calibration!r}; it must be auto or off.")
    path = Path(checkpoint).with_name(CALIBRATION)
    if calibration != "auto" or not (path.is_file() and Path(checkpoint).is_file()):
        return None
    content = read_json_object(path)
    # NaN, which Python reads in JSON, violates no bound of a schema
    if (violation := schema_violation(content, _SCHEMA)) or any(value != value for value in _numbers(content)):
        raise ValueError(
            f"{path}, {violation or 'a value is NaN'}; remove the file, or train again, which writes a new one."
        )
    if content["checkpoint_digest"] != (digest := file_digest(checkpoint)):
        raise ValueError(
            f"{path} belongs to a checkpoint with the digest {content['checkpoint_digest']}, but {checkpoint} has "
            f"{digest}; remove the file, set calibration to off, or train again, which calibrates."
        )
    classes = {name: ClassCalibration(**fitted) for name, fitted in content["classes"].items()}
    if (presence := content.get("presence")) is None:
        return Calibration(classes)
    weights = tuple(presence.pop("weights", ()))
    return Calibration(classes, PresenceCalibration(**presence, weights=weights))


def remove_calibration(checkpoint: str | Path) -> None:
    """Remove the calibration beside a checkpoint, if any, because the checkpoint is about to be replaced."""
    Path(checkpoint).with_name(CALIBRATION).unlink(missing_ok=True)


def _numbers(content: Mapping[str, Any]) -> list[Any]:
    """Return what a file of any content has fitted: for each class, and for presence."""
    classes = content.get("classes")
    parts = [*(classes.values() if isinstance(classes, Mapping) else ()), content.get("presence")]
    values = [value for fitted in parts if isinstance(fitted, Mapping) for value in fitted.values()]
    return [one for value in values for one in (value if isinstance(value, list) else [value])]
