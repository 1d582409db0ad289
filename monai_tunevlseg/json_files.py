"""Reading JSON files that people and other programs have written, with errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["parse_json", "read_json", "read_json_object"]


def read_json(path: str | Path) -> Any:
    """Read a JSON file in UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read as JSON, or is nested too deeply; names the file.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no file {path}.") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from error
    return parse_json(content, str(path))


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds an object at its outermost level.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read as JSON or holds something else; names the file.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__} where a JSON object {{...}} is expected.")
    return content


def parse_json(content: bytes, where: str) -> Any:
    """Parse JSON as :func:`read_json` does.

    Args:
        content: the bytes.
        where: the place that they come from, for the message.

    Raises:
        ValueError: when it is not JSON, or nested too deeply; names the place.
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
