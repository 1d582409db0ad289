"""JSON Schemas of the files of a run, which are validated before their content enters a shared bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_tunevlseg.evaluation import PAIR_METRICS
from monai_tunevlseg.hyperparameters import bundle_option_types, method_argument_types
from monai_tunevlseg.json_files import schema_violation
from monai_tunevlseg.networks.frozen_base_network import UNFREEZE

__all__ = ["METRICS_SCHEMA", "NETWORK_KEYS", "check_schema", "identity_schema"]

NETWORK_KEYS = ("network", "base_fingerprint", "method", "method_kwargs", "upsampler", "unfreeze", "settings")
"""Keys of a network's identity, the first of which that differs is why metrics are not those of a checkpoint."""

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_SCALAR = {"type": ["number", "boolean", "string", "null"]}
_VALUE = {**_SCALAR, "type": [*_SCALAR["type"], "array"], "items": _SCALAR}
_PART: dict[str, Any] = {
    "type": "object",
    "properties": {
        "pairs": _COUNT,
        "intervals": {
            "type": "object",
            "additionalProperties": {
                "type": ["array", "null"],
                "items": {"type": "number"},
                "minItems": 2,
                "maxItems": 2,
            },
        },
        **{f"{score}{which}": {"type": ["number", "null"]} for score in PAIR_METRICS for which in ("", "_foreground")},
    },
    "patternProperties": {"^pairs_with_": _COUNT},
    "required": ["pairs", "intervals"],
}
METRICS_SCHEMA: dict[str, Any] = {
    **_PART,
    "properties": {
        **_PART["properties"],
        "split": {"enum": ["train", "val", "test"]},
        "images": _COUNT,
        "clusters": _COUNT,
        "network": {"type": "object"},
        "checkpoint_digest": _TEXT,
        "classes": {"type": "object", "additionalProperties": _PART},
        "bootstrap": {
            "type": "object",
            "properties": {"cluster": _TEXT, "method": _TEXT, "resamples": _COUNT},
            "required": ["cluster", "method", "resamples"],
        },
    },
    "required": [*_PART["required"], "split", "images", "clusters", "network", "classes", "bootstrap"],
}
"""JSON Schema of ``metrics.json``, as far as the model card and the metadata use it."""


def identity_schema() -> dict[str, Any]:
    """Return the JSON Schema of the network identity in a checkpoint."""
    return {
        "type": "object",
        "properties": {
            **dict.fromkeys(("network", "base_model", "base_fingerprint"), _TEXT),
            "method": {"type": ["string", "null"]},
            "method_kwargs": {
                "type": "object",
                "propertyNames": {"enum": list(method_argument_types())},
                "additionalProperties": _VALUE,
            },
            "upsampler": {"type": "boolean"},
            "unfreeze": {"enum": list(UNFREEZE)},
            "settings": {
                "type": "object",
                "propertyNames": {"enum": list(bundle_option_types())},
                "additionalProperties": _VALUE,
            },
            "class_names": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        },
        "required": ["network", "method", "method_kwargs", "upsampler", "unfreeze", "class_names"],
        "if": {"required": ["settings"]},  # an image-only network, which has no base model
        "else": {"required": ["base_model", "base_fingerprint"]},
    }


def check_schema(content: Mapping[str, Any], schema: Mapping[str, Any], path: Path) -> None:
    """Check the content of a file against a JSON Schema.

    Raises:
        ValueError: when the content violates the schema; names the file and the place in it.
    """
    if violation := schema_violation(content, schema):
        raise ValueError(f"{path}, {violation}; pass a file that this package has written.")
