"""Texts whose masks an evaluation compares on the same images: those of a class, and controls.

The controls come with the package (``control_texts.json``): texts without content, whose mask shows what a network
segments whatever it reads, and texts that contradict the class, which a network that reads its text does not segment
as the class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.dataset_spec import CLASS_NAME, DatasetSpec
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.data.text_sets import PUBLISHED, choose_one, published_texts, read_text_sets, text_key
from monai_tunevlseg.json_files import read_json_object

__all__ = ["CONTENTLESS", "CONTRADICTORY", "TEXT_SET", "compared_text_chooser"]

TEXT_SET = "text_set"
CONTENTLESS = "contentless"
CONTRADICTORY = "contradictory"
OPTION = "compared_texts"
CONTROLS_FILE = Path(__file__).with_name("control_texts.json")
"""The controls by kind; the name of the class replaces ``{class_name}``."""


def compared_text_chooser(spec: DatasetSpec) -> Callable[[Sample], list[dict[str, str]]] | None:
    """Return the function that finds the compared texts of a sample, as :class:`DatasetSpec` describes; None without.

    Its results are of the form {"kind", "name", "text"}: first the class name (kind `CLASS_NAME`), then its other texts
    (`TEXT_SET`), and the controls (`CONTENTLESS`, and `CONTRADICTORY`, which also has the names of the other classes).
    The texts of one name are compared over all pairs of a class. It is the text itself but for published texts, where
    it is `p1` to `p9`; of several texts of one pair, the same is chosen as by `text_source`. A text is given once, case
    and blanks aside, and no control has a text of the class.

    The function raises ValueError for a sample without published texts.

    Raises:
        FileNotFoundError: when the file of the texts does not exist.
        ValueError: as :func:`~monai_tunevlseg.data.read_text_sets`, or when the file has no texts.
    """
    if spec.compared_texts is None:
        return None
    class_names = spec.encoding().class_names
    find_set, controls = _text_set_finder(spec, class_names), read_json_object(CONTROLS_FILE)

    def choose(sample: Sample) -> list[dict[str, str]]:
        name, texts = sample["class_name"], find_set(sample)
        own = {text_key(text) for text in (name, *texts.values())}
        return [
            _entry(CLASS_NAME, name, name),
            *(_entry(TEXT_SET, label, text) for label, text in texts.items()),
            *(
                _entry(kind, text, text)
                for kind, text in _controls_of(name, class_names, controls)
                if text_key(text) not in own
            ),
        ]

    return choose


def _text_set_finder(spec: DatasetSpec, class_names: Sequence[str]) -> Callable[[Sample], dict[str, str]]:
    """Return the function that finds the texts of a sample by their names."""
    if spec.compared_texts == CLASS_NAME:
        return lambda sample: {}
    if spec.compared_texts == PUBLISHED:
        return lambda sample: {
            source: choose_one(texts, sample) for source, texts in published_texts(sample, spec.layout, OPTION).items()
        }
    listed = read_text_sets(spec.compared_texts, class_names, OPTION)
    if not listed:
        raise ValueError(
            f"{OPTION}: {spec.compared_texts} has no texts; list texts of a class, or set it to {CLASS_NAME!r} for the "
            "controls alone."
        )
    sets = {name: {text: text for text in _distinct(texts)} for name, texts in listed.items()}
    return lambda sample: sets.get(sample["class_name"], {})


def _controls_of(
    class_name: str, class_names: Sequence[str], controls: Mapping[str, Sequence[str]]
) -> list[tuple[str, str]]:
    """Return the kinds and texts of the controls of a class."""
    found = [(kind, text.replace("{class_name}", class_name)) for kind, texts in controls.items() for text in texts]
    others = [(CONTRADICTORY, name) for name in class_names if name != class_name]
    kind_of = {text: kind for kind, text in (*found, *others)}
    return [(kind, text) for text, kind in kind_of.items()]


def _entry(kind: str, name: str, text: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "text": text}


def _distinct(texts: Iterable[str]) -> list[str]:
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(text_key(text), text)
    return list(first.values())
