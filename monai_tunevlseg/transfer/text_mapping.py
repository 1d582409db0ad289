"""The text of a run for each class of another dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.data import DatasetSpec
from monai_tunevlseg.data.text_sets import text_key
from monai_tunevlseg.json_files import read_json_object, schema_violation
from monai_tunevlseg.messages import shorten
from monai_tunevlseg.transfer.source_run import SourceRun, trained_texts
from monai_tunevlseg.untrusted_values import refuse_expressions

__all__ = ["TextMapping", "map_texts", "read_text_mapping", "shares_texts"]

TextMapping = Mapping[str, Mapping[str, str]]
"""For some targets, the text of a run for some of their classes."""
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
}


def read_text_mapping(path: str | Path, targets: Collection[str]) -> dict[str, dict[str, str]]:
    """Read a JSON file {target: {class of the target: text of the run}}.

    Args:
        path: the file.
        targets: names of the targets.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it has another form, or a target is unknown.
    """
    content = read_json_object(path)
    if wrong := schema_violation(content, _SCHEMA):
        raise ValueError(f"{path} must be of the form {{target: {{class: text}}}} ({wrong}).")
    if unknown := [name for name in content if name not in targets]:
        raise ValueError(f"{path} has {shorten(unknown)}, which is not a target; targets are {shorten(targets)}.")
    refuse_expressions(content, str(path))
    return content


def map_texts(
    target: str, class_names: Sequence[str], run: SourceRun, given: Mapping[str, str], skip_unmapped: bool = False
) -> dict[str, str]:
    """Return the run's text for each class of a target: the given one, or that of the run's class of the same name.

    Args:
        target: name of the target, for messages.
        class_names: its classes.
        run: the run.
        given: texts of classes; case and blanks do not count.
        skip_unmapped: whether to leave out classes without a text.

    Raises:
        ValueError: when a given class or text is unknown, or a class has no text.
    """
    known = ", ".join(repr(text) for text in dict.fromkeys(run.texts.values()))
    wanted = {text_key(name): text for name, text in given.items()}
    if unknown := [name for name in given if text_key(name) not in map(text_key, class_names)]:
        raise ValueError(
            f"the target {target} has no class {shorten(map(repr, unknown))}; it has {shorten(map(repr, class_names))}."
        )
    if strange := [text for text in given.values() if text_key(text) not in run.texts]:
        raise ValueError(
            f"the target {target} has a class with the text {strange[0]!r}, which {run.label} was not trained with; "
            f"it was trained with {known}."
        )
    texts = {name: run.texts.get(text_key(wanted.get(text_key(name), name))) for name in class_names}
    unmapped = [name for name, text in texts.items() if text is None]
    if unmapped and (not skip_unmapped or len(unmapped) == len(texts)):
        way = "give their texts with --texts" + ("" if len(unmapped) == len(texts) else ", or pass --skip-unmapped")
        raise ValueError(
            f"the target {target} has the class {shorten(map(repr, unmapped))}, for which {run.label} has no text; it "
            f"was trained with {known}: {way}."
        )
    return {name: text for name, text in texts.items() if text is not None}


def shares_texts(source: DatasetSpec, target: DatasetSpec) -> bool:
    """Return whether a run on one dataset has a text for each class of another, so that both are of one task."""
    known = trained_texts(source)
    return all(text_key(name) in known for name in target.encoding().class_names)
