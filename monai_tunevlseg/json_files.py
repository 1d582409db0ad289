"""Read JSON of any origin, with errors that name the file, and check it against schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator  # MONAI Label's environment has jsonschema 3
from jsonschema.exceptions import best_match

__all__ = ["parse_json", "read_json", "read_json_object", "schema_violation"]


def read_json(path: str | Path) -> Any:
    """Read a JSON file in UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file cannot be read, is not JSON, or is nested too deeply; names the file.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no file {path}.") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from error
    return parse_json(content, str(path))


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Read a JSON file whose top level is an object.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file cannot be read as JSON, or its top level is not an object; names the file.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__} where a JSON object {{...}} is expected.")
    return content


def parse_json(content: bytes, where: str) -> Any:
    """Parse JSON as :func:`read_json` does; `where` is its origin, for messages.

    Raises:
        ValueError: when the content is not JSON, or is nested too deeply; names the origin.
    """
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not JSON in UTF-8 ({error.reason} at byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON ({error}).") from error
    except (RecursionError, ValueError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{where} cannot be read as JSON: {reason}.") from error


def schema_violation(content: Any, schema: Mapping[str, Any]) -> str | None:
    """Return the place and message of the most relevant violation of a draft-7 schema; None if the JSON is valid."""
    error = best_match(Draft7Validator(schema).iter_errors(content))
    return None if error is None else f"{'.'.join(map(str, ['$', *error.absolute_path]))}: {error.message:.200}"
