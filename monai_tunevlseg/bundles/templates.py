"""Config fragments: Jinja templates whose statements are YAML comments, after facts about the fragment."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.ext import Extension
from jinja2.sandbox import SandboxedEnvironment

__all__ = ["Templates", "read_facts"]

_FACTS_END = "\n---\n"
_INDENTED = re.compile(r"^( +)(# \{% *include\b.*)$", re.MULTILINE)


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts that a fragment has before a line ``---``, and its ``name``, which is the file's stem.

    Raises:
        ValueError: when the facts are not a mapping.
    """
    head, separator, _ = path.read_text(encoding="utf-8").partition(_FACTS_END)
    facts = yaml.safe_load(head) if separator else {}
    if not isinstance(facts, dict):
        raise ValueError(f"{path}: the facts before '---' must be a mapping, not {type(facts).__name__}.")
    return {**facts, "name": path.stem}


class Templates:
    """The fragments below a folder, each compiled once.

    Args:
        root: the folder; fragments include files below it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._environment = SandboxedEnvironment(
            block_start_string="# {%",
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            undefined=StrictUndefined,
            loader=FileSystemLoader(root),
            extensions=[_FragmentSyntax],
        )

    def render(self, path: Path, facts: Mapping[str, Any]) -> str:
        """Return the text of a fragment with its values and includes, each include indented like its line.

        Raises:
            FileNotFoundError: when a file does not exist below the root; the message has the line that includes it.
            ValueError: when a placeholder has no value, or a file includes itself; the message has the line.
        """
        root = self._root
        try:
            return self._environment.get_template(path.relative_to(root).as_posix()).render(facts)
        except (TemplateError, RecursionError) as error:
            frames = [
                frame for frame in traceback.extract_tb(error.__traceback__) if root in Path(frame.filename).parents
            ]
            place = [str(root), *(f"{frame.filename}, line {frame.lineno}, '{frame.line}'" for frame in frames)][-1]
            if isinstance(error, TemplateNotFound):
                raise FileNotFoundError(f"{place}: no {error.name} in {root}.") from error
            raise ValueError(f"{place}: {error}") from error


class _FragmentSyntax(Extension):
    """Hides the facts in a comment, which keeps line numbers, and indents includes."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        facts, separator, text = source.partition(_FACTS_END)
        hidden = f"{{#{facts}{separator}#}}{text}" if separator else source
        return _INDENTED.sub(r'# {% filter indent("\1", true) %}\2# {% endfilter %}', hidden)
