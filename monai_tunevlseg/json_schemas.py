"""Checking JSON against a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft7Validator  # MONAI Label's environment has jsonschema 3
from jsonschema.exceptions import best_match

__all__ = ["schema_violation"]


def schema_violation(content: Any, schema: Mapping[str, Any]) -> str | None:
    """Return where JSON departs from a schema of draft 7, and how; None when it does not."""
    error = best_match(Draft7Validator(schema).iter_errors(content))
    return None if error is None else f"{'.'.join(map(str, ['$', *error.absolute_path]))}: {error.message:.200}"
