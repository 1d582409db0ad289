"""Code in the configs of a bundle, found by MONAI's rules without evaluating anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from monai_tunevlseg.inspection.bundle_source import leaves_folder
from monai_tunevlseg.inspection.findings import Finding

__all__ = ["CONFIG_SUFFIXES", "MAX_CONFIG_BYTES", "code_in_config", "normalized_place", "parse_config"]

CONFIG_SUFFIXES = (".json", ".yaml", ".yml")
"""Endings of the files that MONAI's ``ConfigParser`` reads, in any case."""
MAX_CONFIG_BYTES = 2**20
MAX_VALUES = 200_000
MAX_DEPTH = 100
SEPARATOR = "::"
_IMPORT = re.compile(r"\$\s*(import|from)\b")
_KEYS = {"_target_": "target", "_mode_": "mode"}  # their values are code, or change how code runs


class _ConfigLoader(yaml.SafeLoader):
    """YAML as MONAI reads it, which is plain data, without merge keys, a few of which can fill the memory."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse merge keys.

        Raises:
            ConstructorError: when a mapping has one.
        """
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys are not inspected", key.start_mark)
        super().flatten_mapping(node)


def parse_config(content: bytes, name: str, loader: Any = _ConfigLoader) -> Any:
    """Parse a config by the ending of its name, as MONAI does.

    Args:
        content: content of the file.
        name: its name.
        loader: a safe loader of PyYAML.

    Raises:
        ValueError: when MONAI could not read it either, or it is too large to be a config; says why.
    """
    if len(content) > MAX_CONFIG_BYTES:
        raise ValueError(f"larger than {MAX_CONFIG_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
        if name.lower().endswith(".json"):
            return json.loads(text)
        return yaml.load(text, loader)  # noqa: S506 - a subclass of the safe loader
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        reason = getattr(error, "problem", None) or str(error)
        raise ValueError(f"not readable ({reason})") from error


def code_in_config(content: Any, file: str) -> Iterator[Finding]:
    """Find everything in a config that MONAI would evaluate, import, call, replace or merge.

    These are strings that begin with ``$`` (expressions and imports) or ``%`` (other configs), the values of
    ``_target_`` and ``_mode_``, and keys that merge into other values. Paths out of the bundle's folder are found too.

    Args:
        content: the parsed config.
        file: its path in the bundle.
    """
    stack: list[tuple[Any, str, int]] = [(content, "", 0)]
    values = 0
    while stack:
        value, place, depth = stack.pop()
        values += 1
        if values > MAX_VALUES or depth > MAX_DEPTH:  # aliases of YAML make a few bytes endless
            yield Finding(file, "not inspected", f"more than {MAX_VALUES} values or {MAX_DEPTH} levels", place)
            return
        if isinstance(value, Mapping):
            yield from _code_in_keys(value, file, place)
            stack += [(item, _below(place, key), depth + 1) for key, item in reversed([*value.items()])]
        elif isinstance(value, list | tuple | set):
            stack += [(item, _below(place, index), depth + 1) for index, item in reversed([*enumerate(value)])]
        elif isinstance(value, str) and (kind := _kind_of(value)):
            yield Finding(file, kind, value, place)


def normalized_place(place: str) -> str:
    """Return a place without the positions in lists, so that the order of their items does not matter."""
    return SEPARATOR.join("[]" if part.isdecimal() else part for part in place.split(SEPARATOR))


def _below(place: str, key: Any) -> str:
    return f"{place}{SEPARATOR}{key}" if place else str(key)


def _code_in_keys(mapping: Mapping[Any, Any], file: str, place: str) -> Iterator[Finding]:
    for key, value in mapping.items():
        if not isinstance(key, str):
            yield Finding(file, "key", f"a key of type {type(key).__name__}", place)
        elif key.startswith("+") or "#" in key or SEPARATOR in key:
            yield Finding(file, "merging key", key, place)
        elif key in _KEYS and not (isinstance(value, str) and _kind_of(value)):  # those are found as values
            text = value if isinstance(value, str) else f"a value of type {type(value).__name__}"
            yield Finding(file, _KEYS[key], text, _below(place, key))


def _kind_of(text: str) -> str | None:
    """Return the kind of code that a string is; None for plain text."""
    if text.startswith("$"):
        return "import" if _IMPORT.match(text) else "expression"
    if text.startswith("%"):
        return "other config"
    return "path" if leaves_folder(text) and "\n" not in text and len(text) < 4096 else None
