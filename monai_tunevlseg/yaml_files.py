"""Read YAML that people may have edited, with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

__all__ = ["parse_yaml", "parse_yaml_mapping", "read_yaml_mapping"]


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ValueError: when the file is not YAML in UTF-8, or its top level is not a mapping; names the file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not YAML in UTF-8 ({error.reason} at byte {error.start}).") from error
    return parse_yaml_mapping(text, str(path))


def parse_yaml_mapping(text: str, where: str) -> dict[str, Any]:
    """Parse YAML as :func:`read_yaml_mapping` does; `where` is its origin, for messages.

    Raises:
        ValueError: when the text is not YAML, or its top level is not a mapping; names the origin.
    """
    content = parse_yaml(text, where)
    if not isinstance(content, dict):
        raise ValueError(f"{where} holds a {type(content).__name__} where a mapping of names to values is expected.")
    return content


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML with any value at its top level; the arguments are those of :func:`parse_yaml_mapping`.

    Raises:
        ValueError: when the text is not YAML; names the origin.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        reason = getattr(error, "problem", None) or type(error).__name__
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"{where} is not YAML ({reason}{line}); quote texts that contain : [ or {{.") from error
