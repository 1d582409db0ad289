"""Fragments of configs: text with placeholders and includes, and facts about itself for whoever composes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Fragment", "compose", "read_fragment"]

_FACTS_END = "---\n"
_INCLUDE = re.compile(r"^(?P<indent> *)# include: (?P<path>\S+)\n", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{(?P<name>[\w.]+)\}\}")


@dataclass(frozen=True)
class Fragment:
    """One file under ``configs/``.

    Attributes:
        name: of the file, without its suffix.
        facts: what the file says about itself, in front of a line ``---``; empty where there is no such line.
        text: the rest, which is composed into bundles.
    """

    name: str
    facts: dict[str, Any]
    text: str


def read_fragment(path: Path) -> Fragment:
    """Read a fragment.

    Raises:
        ValueError: when its facts are no mapping.
    """
    text = path.read_text(encoding="utf-8")
    head, separator, body = text.partition(f"\n{_FACTS_END}")
    if not separator:
        return Fragment(path.stem, {}, text)
    facts = yaml.safe_load(head)
    if not isinstance(facts, dict):
        raise ValueError(f"{path}: the facts in front of '---' must be a mapping, not {type(facts).__name__}.")
    return Fragment(path.stem, facts, body)


def compose(path: Path, root: Path, facts: Mapping[str, str], above: tuple[Path, ...] = ()) -> str:
    """Return the text of a file with its placeholders filled and its includes put in place, comments and all.

    ``{{name}}`` stands for a fact; a line ``# include: PATH`` for the composed text of that file, indented like it.

    Args:
        path: the file.
        root: the folder that paths of includes are relative to.
        facts: values of the placeholders.
        above: the files that include this one.

    Raises:
        FileNotFoundError: when an included file does not exist.
        ValueError: when a placeholder has no value, or a file includes itself.
    """
    if path in above:
        raise ValueError(f"{path} includes itself, by way of {' and '.join(map(str, above))}.")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, but {above[-1] if above else root} asks for it.")

    def fill(match: re.Match[str]) -> str:
        if match["name"] not in facts:
            raise ValueError(f"{path}: the placeholder {match[0]} has no value; known are {', '.join(sorted(facts))}.")
        return facts[match["name"]]

    def include(match: re.Match[str]) -> str:
        included = compose((root / match["path"]).resolve(), root, facts, (*above, path))
        return "".join(f"{match['indent']}{line}" if line.strip() else line for line in included.splitlines(True))

    return _INCLUDE.sub(include, _PLACEHOLDER.sub(fill, read_fragment(path).text))
