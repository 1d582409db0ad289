"""Sets of texts with the same meaning, from which training draws a text for each pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.messages import shorten

__all__ = ["PUBLISHED", "read_text_sets", "text_set_chooser"]

PUBLISHED = "published"
_PUBLISHED_SOURCES = tuple(f"p{number}" for number in range(1, 10))  # p0 is the empty text


def text_set_chooser(spec: DatasetSpec) -> Callable[[Sample], list[str]] | None:
    """Return the function that finds the text set of a sample, as :class:`DatasetSpec` describes; None without sets.

    Its results are without repetitions. It raises ValueError for a sample without published texts.

    Raises:
        FileNotFoundError: when the file of the sets does not exist.
        ValueError: as :func:`read_text_sets`.
    """
    if spec.text_sets is None:
        return None
    if spec.text_sets == PUBLISHED:
        return lambda sample: _published_texts(sample, spec.layout)
    sets = read_text_sets(spec.text_sets, spec.encoding().class_names)
    return lambda sample: sets.get(sample["class_name"], [])


def read_text_sets(path: str | Path | None, class_names: Sequence[str]) -> dict[str, list[str]]:
    """Read a JSON file {class name: [text, ...]}; classes may be left out, and None has none of them.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it has another form, a class is unknown, or a text stands for two classes.
    """
    if path is None:
        return {}
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"text_sets is {str(path)!r}, which is not a file; give a JSON file of texts by class.")
    content = read_json_object(path)
    if unknown := [name for name in content if name not in class_names]:
        raise ValueError(
            f"text_sets: {path} has the class {shorten(map(repr, unknown))}, but the classes are "
            f"{shorten(map(repr, class_names))}; correct the name, or remove it."
        )
    for name, texts in content.items():
        if not _are_texts(texts):
            raise ValueError(
                f"text_sets: {path} has {texts!r:.80} for the class {name!r}; give a list of one or more texts that "
                "are not empty."
            )
    sets = {name: list(dict.fromkeys(" ".join(text.split()) for text in texts)) for name, texts in content.items()}
    _refuse_shared_texts(path, sets, class_names)
    return sets


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text.strip() for text in value)


def _refuse_shared_texts(path: Path, sets: Mapping[str, Sequence[str]], class_names: Sequence[str]) -> None:
    owners = {name.casefold(): name for name in class_names}
    for name, texts in sets.items():
        for text in texts:
            if (owner := owners.setdefault(text.casefold(), name)) != name:
                raise ValueError(
                    f"text_sets: {path} has {text!r} for the class {name!r}, but it stands for {owner!r}; remove it "
                    "from one of them."
                )


def _published_texts(sample: Mapping[str, Any], layout: str) -> list[str]:
    published = sample.get("texts", {})
    lists = [published[source] for source in _PUBLISHED_SOURCES if source in published]
    texts = [text for found in lists for text in ([found] if isinstance(found, str) else found) if text.strip()]
    if not texts:
        raise ValueError(
            f"text_sets is {PUBLISHED!r}, but the layout {layout!r} gives no published texts p1 to p9 for "
            f"{sample['image']}; use the layout 'annotations' with such texts, or give a file."
        )
    return list(dict.fromkeys(texts))
