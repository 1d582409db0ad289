"""Putting values into the configs of a bundle, in place of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import yaml

__all__ = ["set_config_values"]

_BREAKS = re.compile(r"[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
"""What YAML folds as a line's end, or does not take, where JSON has it as a character."""


def set_config_values(text: str, values: Mapping[str, Any]) -> str:
    """Put values into a config in place of its own, line by line, so that its comments stay.

    Values that it does not have are left out, but for imports, which others may need.
    """
    for name, value in values.items():
        line = re.compile(rf"^{re.escape(name)}:[^\n#]*?(?P<comment> +#[^\n]*)?$", re.MULTILINE)
        if line.search(text):
            text = line.sub(partial(_keep_comment, f"{name}: {_written(value)}"), text, count=1)
        elif str(value).startswith("$import"):
            text = f"{name}: {_written(value)}\n{text}"
    return text


def _keep_comment(line: str, match: re.Match[str]) -> str:
    return line + (match["comment"] or "")


def _written(value: Any) -> str:
    """Write a value in one line; non-ASCII unescaped, because YAML reads JSON's surrogate pairs as two characters."""
    if isinstance(value, str | list | dict):
        return _BREAKS.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    return yaml.safe_dump(value).split("\n")[0]
