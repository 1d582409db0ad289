"""Sets of texts with the same meaning, from which training draws and which evaluation compares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.messages import shorten

__all__ = ["PUBLISHED", "choose_one", "published_texts", "read_text_sets", "text_key", "text_set_chooser"]

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
        return lambda sample: _all_published(sample, spec.layout)
    sets = read_text_sets(spec.text_sets, spec.encoding().class_names)
    return lambda sample: sets.get(sample["class_name"], [])


def read_text_sets(
    path: str | Path | None, class_names: Sequence[str], option: str = "text_sets"
) -> dict[str, list[str]]:
    """Read a JSON file {class name: [text, ...]}; classes may be left out, and None has none of them.

    Args:
        path: the file.
        class_names: the classes.
        option: name of the hyperparameter that gives `path`, for messages.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it has another form, a class is unknown, or a text stands for two classes.
    """
    if path is None:
        return {}
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{option} is {str(path)!r}, which is not a file; give a JSON file of texts by class.")
    content = read_json_object(path)
    if unknown := [name for name in content if name not in class_names]:
        raise ValueError(
            f"{option}: {path} has the class {shorten(map(repr, unknown))}, but the classes are "
            f"{shorten(map(repr, class_names))}; correct the name, or remove it."
        )
    for name, texts in content.items():
        if not _are_texts(texts):
            raise ValueError(
                f"{option}: {path} has {texts!r:.80} for the class {name!r}; give a list of one or more texts that "
                "are not empty."
            )
    sets = {name: list(dict.fromkeys(" ".join(text.split()) for text in texts)) for name, texts in content.items()}
    _refuse_shared_texts(f"{option}: {path}", sets, class_names)
    return sets


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text.strip() for text in value)


def _refuse_shared_texts(origin: str, sets: Mapping[str, Sequence[str]], class_names: Sequence[str]) -> None:
    owners = {text_key(name): name for name in class_names}
    for name, texts in sets.items():
        for text in texts:
            if (owner := owners.setdefault(text_key(text), name)) != name:
                raise ValueError(
                    f"{origin} has {text!r} for the class {name!r}, but it stands for {owner!r}; remove it "
                    "from one of them."
                )


def text_key(text: str) -> str:
    """Return what equal texts share: case and blanks do not tell them apart."""
    return " ".join(text.casefold().split())


def published_texts(sample: Mapping[str, Any], layout: str, option: str) -> dict[str, list[str]]:
    """Return the published texts of a sample that are not empty, by their source, p1 to p9.

    Args:
        sample: the sample, as the layout gives it.
        layout: name of the layout, for the message.
        option: name of the hyperparameter that asks for them, for the message.

    Raises:
        ValueError: when the sample has none.
    """
    published = sample.get("texts", {})
    lists = {source: published[source] for source in _PUBLISHED_SOURCES if source in published}
    texts = {source: [found] if isinstance(found, str) else found for source, found in lists.items()}
    filled = {source: kept for source, found in texts.items() if (kept := [text for text in found if text.strip()])}
    if not filled:
        raise ValueError(
            f"{option} is {PUBLISHED!r}, but the layout {layout!r} gives no published texts p1 to p9 for "
            f"{sample['image']}; use the layout 'annotations' with such texts, or give a file."
        )
    return filled


def choose_one(texts: Sequence[str], sample: Mapping[str, Any]) -> str:
    """Return one of several texts of a sample, which the hash of its file name and class name chooses."""
    name = f"{Path(sample['image']).name} {sample['class_name']}"
    return texts[int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(texts)]


def _all_published(sample: Mapping[str, Any], layout: str) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(published_texts(sample, layout, "text_sets").values())))
