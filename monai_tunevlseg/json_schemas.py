"""Validate JSON against a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft7Validator  # MONAI Label's environment has jsonschema 3
from jsonschema.exceptions import best_match

__all__ = ["schema_violation"]


def schema_violation(content: Any, schema: Mapping[str, Any]) -> str | None:
    """Return the place and message of the most relevant violation of a draft-7 schema; None if the JSON is valid."""
    error = best_match(Draft7Validator(schema).iter_errors(content))
    return None if error is None else f"{'.'.join(map(str, ['$', *error.absolute_path]))}: {error.message:.200}"
