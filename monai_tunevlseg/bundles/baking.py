"""Putting values into the configs of a bundle, in place of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import yaml

__all__ = ["with_values"]


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """Put values into a config in place of its own, line by line, so that its comments stay.

    Values that it does not have are left out, but for imports, which others may need.
    """
    for name, value in values.items():
        written = _written(value)
        line = re.compile(rf"^{re.escape(name)}:[^\n#]*?(?P<comment> +#[^\n]*)?$", re.MULTILINE)
        if line.search(text):
            text = line.sub(partial(_keep_comment, f"{name}: {written}"), text, count=1)
        elif str(value).startswith("$import"):
            text = f"{name}: {written}\n{text}"
    return text


def _keep_comment(line: str, match: re.Match[str]) -> str:
    return line + (match["comment"] or "")


def _written(value: Any) -> str:
    """Write a value in one line; non-ASCII unescaped, because YAML reads JSON's surrogate pairs as two characters."""
    if isinstance(value, str | list | dict):
        return json.dumps(value, ensure_ascii=False)
    return yaml.safe_dump(value).split("\n")[0]
