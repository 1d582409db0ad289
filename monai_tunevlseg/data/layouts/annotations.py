"""The layout `annotations`: the published form of vision-language segmentation datasets.

`images/`, `masks/` and `anns/{train,val,test}.json`, each a list of pairs: {"img_name": "1.png", "mask_name": "1.png",
"prompts": {"p0": "", "p1": "polyp", "p7": ["polyp which is ...", ...], ...}, ...}. The three files are the splits;
other files in `anns/` are ignored. Masks are binary: a dataset with several classes has a mask for each.

The class of a pair:

- with one class: this class;
- with several classes and masks in folders `masks/mask_1/`, `masks/mask_2/` and so on: the class with the folder's
  number, in the order of class_names from 1 on, or by `label_values`, which may leave folders out;
- with several classes and no such folders: the class whose name contains the word after the last `_` of the image's
  name, such as "malignant tumor" for `102_malignant.png`.

Ambiguous pairs are refused, and so are pairs whose published texts name another of the classes.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.image_files import list_visible
from monai_tunevlseg.data.io.file_suffixes import stem_of
from monai_tunevlseg.data.issues import sorted_or_raise
from monai_tunevlseg.data.layouts._base import Layout
from monai_tunevlseg.data.layouts._files import file_inside
from monai_tunevlseg.data.layouts._pairing import pair_masks
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import SPLIT_NAMES, Case, Splits
from monai_tunevlseg.data.splits import DrawSplits, OverlapWarning
from monai_tunevlseg.json_files import read_json
from monai_tunevlseg.messages import shorten

__all__ = ["LAYOUT", "read_annotations"]

MASK_FOLDER = re.compile(r"^mask_(\d+)/")


@dataclass(frozen=True)
class ListedPair:
    """One (image, class) pair in the list of a split."""

    split: str
    image: str
    mask: str
    texts: dict[str, str | list[str]]

    @property
    def folder(self) -> int | None:
        """The number of the mask's folder, if it is in one."""
        found = MASK_FOLDER.match(self.mask)
        return int(found.group(1)) if found else None

    @property
    def last_word(self) -> str:
        """The word after the last `_` of the image's name."""
        return stem_of(Path(self.image)).rsplit("_", 1)[-1].lower()


def read_annotations(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases of the published layout (see `ReadCases`): one sample for each listed pair of a requested class.

    A stem is the image's name without suffix. An image that several splits list is a case in each, such as
    `patient0001_2CH_ED (val)`, with a warning.

    Raises:
        ValueError: when a list has another form, or the class of a pair is ambiguous.
    """
    entries = _read_entries(dataset_dir)
    listed = _stems(entries)
    of_stem: dict[str, list[tuple[ListedPair, str]]] = {stem: [] for stem in listed}
    for entry, stem, class_name in zip(entries, listed, _class_names(dataset_dir, entries, encoding), strict=True):
        if class_name is not None:
            of_stem[stem].append((entry, class_name))
    images = {stem: dataset_dir / "images" / entry.image for entry, stem in zip(entries, listed, strict=True)}
    masks = {stem: [dataset_dir / "masks" / entry.mask for entry, _ in pairs] for stem, pairs in of_stem.items()}
    stems, issues = pair_masks(dataset_dir, images, masks)
    _warn_of_others(dataset_dir, entries)
    cases = [
        Case(stem, [_sample(dataset_dir, entry, name, encoding) for entry, name in of_stem[stem]]) for stem in stems
    ]
    return sorted_or_raise(cases, issues)


def _split(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    entries = _read_entries(dataset_dir)
    known = {case.stem for case in cases}
    splits: dict[str, dict[str, None]] = {name: {} for name in SPLIT_NAMES}
    for entry, stem in zip(entries, _stems(entries), strict=True):
        if stem in known:
            splits[entry.split][stem] = None
    return {name: list(stems) for name, stems in splits.items()}


LAYOUT = Layout(read_annotations, split=_split)


def _read_entries(dataset_dir: Path) -> list[ListedPair]:
    return [entry for split in SPLIT_NAMES for entry in _read_list(dataset_dir / "anns" / f"{split}.json", split)]


def _read_list(path: Path, split: str) -> list[ListedPair]:
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: anns/ must list the pairs of {', '.join(SPLIT_NAMES)}; add it.")
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(f"{path} must be a list of pairs, each with img_name and mask_name.")
    entries = [_entry(path, split, number, pair) for number, pair in enumerate(content)]
    counts = Counter((entry.image, entry.mask) for entry in entries)
    if twice := [f"{image} with {mask}" for (image, mask), count in counts.items() if count > 1]:
        raise ValueError(f"{path} lists {len(twice)} pairs more than once: {shorten(twice)}; remove the repetitions.")
    return entries


def _entry(path: Path, split: str, number: int, pair: Any) -> ListedPair:
    image, mask = (pair.get(key) if isinstance(pair, dict) else None for key in ("img_name", "mask_name"))
    if not isinstance(image, str) or not isinstance(mask, str) or not image or not mask:
        raise ValueError(f"{path}: pair {number} must have img_name and mask_name, the names of files; it is {pair!r}.")
    for folder, name in (("images", image), ("masks", mask)):
        file_inside(path.parent.parent / folder, name, path)
    texts = pair.get("prompts", {})
    if not isinstance(texts, dict) or not all(map(_is_text, texts.values())):
        raise ValueError(f"{path}: prompts of pair {number} must be texts or lists of texts, not {texts!r}.")
    return ListedPair(split, image, mask, texts)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
    )


def _stems(entries: Sequence[ListedPair]) -> list[str]:
    splits: dict[str, set[str]] = {}
    for entry in entries:
        splits.setdefault(entry.image, set()).add(entry.split)
    plain = [entry.image.removesuffix(Path(entry.image).suffix) for entry in entries]
    return [
        stem if len(splits[entry.image]) == 1 else f"{stem} ({entry.split})"
        for entry, stem in zip(entries, plain, strict=True)
    ]


def _class_names(dataset_dir: Path, entries: Sequence[ListedPair], encoding: MaskEncoding) -> list[str | None]:
    """Return the class of each entry; None = a class that is left out."""
    numbers = sorted({entry.folder for entry in entries if entry.folder is not None})
    if numbers and any(entry.folder is None for entry in entries):
        raise ValueError(f"{dataset_dir}: some masks are in folders mask_{shorten(numbers)} and some are not.")
    if encoding.label_values is not None and not numbers:
        raise ValueError(
            f"label_values {dict(encoding.label_values)} select folders masks/mask_1/, mask_2/ and so on, but the "
            f"lists of {dataset_dir} have none; set label_values to null."
        )
    if numbers:
        found = _by_folder(dataset_dir, entries, encoding, numbers)
    elif len(encoding.class_names) == 1:
        return [encoding.class_names[0]] * len(entries)
    else:
        found = [_by_last_word(dataset_dir, entry, encoding.class_names) for entry in entries]
    _check_texts(dataset_dir, entries, found, encoding.class_names)
    unseen = [name for name in encoding.class_names if name not in found]
    if unseen:
        raise ValueError(f"the lists of {dataset_dir} have no pairs of the class {shorten(unseen)}; leave it out.")
    return found


def _by_folder(
    dataset_dir: Path, entries: Sequence[ListedPair], encoding: MaskEncoding, numbers: Sequence[int]
) -> list[str | None]:
    if len(encoding.class_names) == 1 and len(numbers) == 1 and encoding.label_values is None:
        return [encoding.class_names[0]] * len(entries)
    class_of = {value: name for name, value in encoding.values.items()}
    unknown = [number for number in numbers if number not in class_of]
    if unknown and encoding.label_values is None:
        raise ValueError(
            f"{dataset_dir} has masks in the folders mask_{', mask_'.join(map(str, numbers))}, but class_names "
            f"{list(encoding.class_names)} do not cover mask_{unknown[0]}: name all classes in the order of their "
            "numbers, or give label_values, such as {'left atrium cavity': 3}, for the wanted classes."
        )
    return [class_of.get(entry.folder) for entry in entries]


def _by_last_word(dataset_dir: Path, entry: ListedPair, class_names: Sequence[str]) -> str:
    found = [name for name in class_names if entry.last_word in re.findall(r"\w+", name.lower())]
    if len(found) != 1:
        raise ValueError(
            f"{dataset_dir}: the class of {entry.image} in anns/{entry.split}.json is ambiguous: {entry.last_word!r} "
            f"is a word of {len(found)} of the classes {', '.join(class_names)}, not of one; add or rename classes, or "
            "give one name for all."
        )
    return found[0]


def _check_texts(
    dataset_dir: Path, entries: Sequence[ListedPair], found: Sequence[str | None], class_names: Sequence[str]
) -> None:
    """Refuse classes in the wrong order: texts of a pair that name a class must name the class of the pair."""
    for entry, own in zip(entries, found, strict=True):
        spoken = json.dumps(entry.texts, ensure_ascii=False).lower()
        others = [name for name in class_names if name != own and name.lower() in spoken]
        if own is not None and others and own.lower() not in spoken:
            raise ValueError(
                f"{dataset_dir}: by class_names, the mask {entry.mask} of {entry.image} shows {own!r}, but its texts "
                f"in anns/{entry.split}.json name {others[0]!r}; put class_names in the order of the mask folders, or "
                "give label_values."
            )


def _sample(dataset_dir: Path, entry: ListedPair, class_name: str, encoding: MaskEncoding) -> dict[str, Any]:
    binary = MaskEncoding([class_name], mask_threshold=encoding.mask_threshold)
    image, mask = dataset_dir / "images" / entry.image, dataset_dir / "masks" / entry.mask
    return binary.sample(image, mask, class_name, texts=entry.texts)


def _warn_of_others(dataset_dir: Path, entries: Sequence[ListedPair]) -> None:
    splits: dict[str, dict[str, None]] = {}
    for entry in entries:
        splits.setdefault(entry.image, {})[entry.split] = None
    shared = {image: list(names) for image, names in splits.items() if len(names) > 1}
    if shared:
        pairs = sorted({" and ".join(names) for names in shared.values()})
        warnings.warn(
            f"{dataset_dir}/anns: {len(shared)} images are in more than one split ({', '.join(pairs)}): "
            f"{shorten(shared)}; results on them are optimistically biased.",
            OverlapWarning,
            stacklevel=3,
        )
    unused = [path.name for path in list_visible(dataset_dir / "images") if path.is_file() and path.name not in splits]
    if unused:
        warnings.warn(f"{dataset_dir}/anns leaves out {len(unused)} images: {shorten(unused)}.", stacklevel=3)
