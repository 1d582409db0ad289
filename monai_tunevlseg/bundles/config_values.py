"""Replaces values in the text of a config."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import yaml

__all__ = ["set_config_values"]

_BREAKS = re.compile(r"[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters of JSON strings that YAML rejects or reads as line breaks."""


def set_config_values(text: str, values: Mapping[str, Any]) -> str:
    """Replace top-level values of a config line by line, so that its comments stay.

    Values whose name the config does not have are skipped, except imports, which are added because other values may
    need them.
    """
    for name, value in values.items():
        line = re.compile(rf"^{re.escape(name)}:[^\n#]*?(?P<comment> +#[^\n]*)?$", re.MULTILINE)
        if line.search(text):
            text = line.sub(partial(_keep_comment, f"{name}: {_yaml_value(value)}"), text, count=1)
        elif str(value).startswith("$import"):
            text = f"{name}: {_yaml_value(value)}\n{text}"
    return text


def _keep_comment(line: str, match: re.Match[str]) -> str:
    return line + (match["comment"] or "")


def _yaml_value(value: Any) -> str:
    """Return a value as one line; non-ASCII stays unescaped, because YAML reads surrogate pairs as two characters."""
    if isinstance(value, str | list | dict):
        return _BREAKS.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    return yaml.safe_dump(value).split("\n")[0]
