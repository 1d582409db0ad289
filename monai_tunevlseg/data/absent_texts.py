"""Texts that are known not to apply to an image: what a network segments for them is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.compared_texts import TEXT_SET
from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.image_groups import ImageGroup
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.data.text_sets import text_key
from monai_tunevlseg.json_files import read_json, read_json_object
from monai_tunevlseg.messages import shorten

__all__ = ["CLASSES", "POOL", "with_absent_texts"]

CLASSES = "classes"
POOL = "pool"
POOL_FILE = Path(__file__).with_suffix(".json")
"""For each kind of images the texts of the pool, which such images can show, and further words of its datasets."""


def with_absent_texts(
    groups: Sequence[ImageGroup],
    absent_texts: str | Sequence[str] | None,
    spec: DatasetSpec,
    datalists: Mapping[str, Sequence[Sample]],
    option: str = "absent_texts",
) -> list[ImageGroup]:
    """Return the groups, each with `absent_texts`, the texts that its image or slice is known not to show.

    - "classes": the names of the classes that the image has no pair for, where this says that they are absent: its
      mask is a label map (its samples have a `label_value`), or the layout has a sample for each class that an image
      shows (`Layout.shown_classes_are_listed`). A class with a pair is not among them, even if the mask is empty.
    - "pool": a pool of everyday and medical texts, by the kind of images that can show them. A kind is left out with
      all its texts when one of its words is in a class name, a text or the organ of the dataset ("breast tumor" leaves
      out the kinds with "breast" or "tumor"). Case and the plural's s do not count.
    - texts, or a file of them: a JSON list, or one text per line.

    Args:
        groups: groups of :func:`~monai_tunevlseg.data.group_by_image`; none is changed.
        absent_texts: one of these; None = no absent texts.
        spec: the dataset.
        datalists: the samples of all splits, none of whose texts may be absent.
        option: name of the hyperparameter that gives `absent_texts`, for messages.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when a text is a class name or a text of the dataset (case and blanks aside) or is empty, there are
            no texts, or "classes" is given for a dataset that has one class or does not say which classes are absent.
    """
    if absent_texts is None:
        return list(groups)
    if absent_texts == CLASSES:
        return _with_absent_classes(groups, spec, option)
    dataset_texts = _dataset_texts(spec, datalists)
    if absent_texts == POOL:
        texts = _pool_texts(dataset_texts, spec, option)
    else:
        texts = _own_texts(absent_texts, dataset_texts, option)
    return [group | {"absent_texts": texts} for group in groups]


def _with_absent_classes(groups: Sequence[ImageGroup], spec: DatasetSpec, option: str) -> list[ImageGroup]:
    class_names = spec.encoding().class_names
    if len(class_names) == 1:
        raise ValueError(
            f"{option} is {CLASSES!r}, but the dataset has only the class {class_names[0]!r}; set it to {POOL!r}, "
            "or list texts."
        )
    listed = LAYOUTS[spec.layout].shown_classes_are_listed
    found, unknown = [], 0
    for group in groups:
        names = _classes_without_pair(group, class_names)
        known = listed or any("label_value" in pair for pair in group["pairs"])
        unknown += bool(names) and not known
        found.append(group | {"absent_texts": names if known else []})
    if unknown and not any(group["absent_texts"] for group in found):
        raise ValueError(
            f"{option} is {CLASSES!r}, but a missing mask does not say that a class is absent in the layout "
            f"{spec.layout!r} of {spec.folder}; set it to {POOL!r}, or list texts."
        )
    return found


def _classes_without_pair(group: ImageGroup, class_names: Sequence[str]) -> list[str]:
    """Return the classes without a pair whose name is not a text of the image, as a neutral text can be."""
    own = {text_key(text) for pair in group["pairs"] for text in _texts_of(pair)}
    return [name for name in class_names if text_key(name) not in own]


def _dataset_texts(spec: DatasetSpec, datalists: Mapping[str, Sequence[Sample]]) -> dict[str, str]:
    """Return the class names and texts of a dataset by their normalized form."""
    of_samples = [text for split in datalists.values() for sample in split for text in _texts_of(sample)]
    return {text_key(text): text for text in (*of_samples, *spec.encoding().class_names)}


def _texts_of(sample: Mapping[str, Any]) -> list[str]:
    """Return the texts that apply to a sample."""
    compared = [each["text"] for each in sample.get("compared_texts", ()) if each["kind"] == TEXT_SET]
    return [sample["class_name"], sample["text"], *sample.get("text_set", ()), *compared]


def _pool_texts(dataset_texts: Iterable[str], spec: DatasetSpec, option: str) -> list[str]:
    info = LAYOUTS[spec.layout].info
    words = _words([*dataset_texts, info.organ if info else ""])
    kinds = read_json_object(POOL_FILE)
    left = [kind["texts"] for kind in kinds.values() if words.isdisjoint(_words([*kind["texts"], *kind["words"]]))]
    texts = [text for of_kind in left for text in of_kind]
    if not texts:
        raise ValueError(
            f"{option} is {POOL!r}, but the dataset's texts share words with each kind of images in it; list texts."
        )
    return texts


def _words(texts: Iterable[str]) -> set[str]:
    """Return the words of texts in the singular, or what is left without an s at the end."""
    return {word.removesuffix("s") for text in texts for word in re.findall(r"\w+", text.casefold())}


def _own_texts(absent_texts: str | Sequence[str], dataset_texts: Mapping[str, str], option: str) -> list[str]:
    origin = f"the file {absent_texts}" if isinstance(absent_texts, str) else "the list"
    listed = _read_texts(Path(absent_texts).expanduser(), option) if isinstance(absent_texts, str) else absent_texts
    wrong = [text for text in listed if not isinstance(text, str) or not text.strip()]
    if wrong or not listed:
        content = f"holds {shorten(map(repr, wrong))}" if wrong else "is empty"
        raise ValueError(f"{option}: {origin} {content}; give one or more texts that are not empty.")
    texts = {text_key(text): " ".join(text.split()) for text in listed}
    if taken := [text for key, text in texts.items() if key in dataset_texts]:
        raise ValueError(
            f"{option}: {origin} holds {shorten(map(repr, taken))}, a class or text of the dataset, which its "
            "images can show; remove it."
        )
    return list(texts.values())


def _read_texts(path: Path, option: str) -> Sequence[str]:
    if path.suffix.lower() == ".json":
        content = read_json(path)
        if not isinstance(content, list):
            raise ValueError(f"{option}: {path} must hold a JSON list of texts, not a {type(content).__name__}.")
        return content
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{option} is {str(path)!r}, which is neither {CLASSES!r}, {POOL!r} nor a file; correct the path, or "
            "give the texts as a list."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{option}: {path} cannot be read as text in UTF-8 ({error}).") from error
    return [line for line in lines if line.strip()]
