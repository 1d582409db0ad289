"""Finding images and masks in folders of various names, with the owner's splits and endings of the masks' names."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_tunevlseg.data.image_files import index_by_stem, is_image, list_subfolders, list_visible
from monai_tunevlseg.data.issues import DatasetIssue
from monai_tunevlseg.data.samples import SPLIT_NAMES
from monai_tunevlseg.messages import shorten

__all__ = ["IMAGE_NAMES", "MASK_NAMES", "DatasetPart", "common_ending", "find_masks", "find_parts", "folder_of"]

IMAGE_NAMES = ("images", "image", "imgs", "img", "original", "originals", "pictures", "photos", "frames", "jpegimages")
MASK_NAMES = (
    *("masks", "mask", "labels", "label", "gt", "groundtruth", "groundtruths", "annotations", "annotation"),
    *("segmentations", "segmentation", "seg", "segmentationmasks", "targets", "target"),
)
"""Names of folders, in lower case and without separators between the words; earlier names take precedence."""
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
FIELD_OF_VIEW = "mask"
"""Folder name of the field of view in DRIVE and HRF, where the masks of vessels are in a folder of another name."""
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
DEPTH = 3
"""Levels of folders that are searched, because archives wrap the dataset in further folders."""


@dataclass(frozen=True)
class DatasetPart:
    """A folder of images and the folder of their masks.

    Args:
        images: the folder of images.
        masks: the folder of their masks.
        split: the owner's split, if the folders' names state one.
    """

    images: Path
    masks: Path
    split: str | None = None


def find_parts(dataset_dir: Path) -> list[DatasetPart]:
    """Find the folders of images and masks of a dataset.

    These are `images/` and `masks/`, or other common names (`Original/`, `labels/`, `GT/`, ...), in the folder itself,
    in a folder for each split (`train/images/`, `Test/GT/`), around such folders (`images/train/`), or with the split
    in their names (`train_images/`, `imagesTr/`). All of this may also be in a single inner folder.

    Args:
        dataset_dir: the dataset's folder.

    Returns:
        one part, or one for each of the owner's splits.

    Raises:
        FileNotFoundError: when no such folders are found.
        ValueError: when several folders match.
    """
    level = [dataset_dir]
    for _ in range(DEPTH):
        found = {folder: parts for folder in level if (parts := _parts_in(folder))}
        if len(found) > 1:
            names = shorten(folder.relative_to(dataset_dir) for folder in found)
            raise ValueError(f"{dataset_dir} has several folders of images and masks: {names}; set dataset_dir to one.")
        if found:
            return next(iter(found.values()))
        level = [inner for folder in level for inner in list_subfolders(folder)]
    raise FileNotFoundError(_nothing_found(dataset_dir))


def folder_of(folder: Path, names: Sequence[str], split: str | None = None) -> Path | None:
    """Find the folder in a folder that has one of the names, in any spelling.

    Raises:
        ValueError: when several folders match, and none of them has exactly the first name.
    """
    if split is None and (folder / names[0]).is_dir():
        return folder / names[0]
    called = [path for path in list_subfolders(folder) if _meaning(path.name, names) == split and _holds_images(path)]
    if len(called) > 1:
        raise ValueError(
            f"{folder} has several folders that may hold the {names[0]}: {shorten(path.name for path in called)}; "
            f"rename the right one to {names[0]}."
        )
    return called[0] if called else None


def find_masks(
    folder: Path, images: Collection[str], ending: str | None = None
) -> tuple[dict[str, Path], list[DatasetIssue]]:
    """List the masks in a folder by the stems of their images.

    Args:
        folder: the folder of masks.
        images: the stems of the images; they may begin with the split and `/`.
        ending: the ending of the masks' names beyond those of their images; None = their common ending, which a warning
            names.

    Raises:
        ValueError: when several endings fit equally well.
    """
    prefix = next((stem[: stem.rindex("/") + 1] for stem in images if "/" in stem), "")
    plain = {stem.removeprefix(prefix) for stem in images}
    masks, issues = index_by_stem(folder, ending or "")
    if ending is None and (found := common_ending(plain, masks)):
        warnings.warn(
            f"the names of the masks in {folder} end in {found!r} beyond those of their images, which is removed; set "
            "mask_ending if this is wrong.",
            stacklevel=2,
        )
        masks = {stem.removesuffix(found): path for stem, path in masks.items()}
    return {f"{prefix}{stem}": path for stem, path in masks.items()}, issues


def common_ending(images: Collection[str], masks: Collection[str]) -> str:
    """Return the common ending of the masks' stems beyond those of their images, such as `_lesion`, or "".

    Raises:
        ValueError: when several endings fit equally well.
    """
    known = set(images)
    if not masks or not known.isdisjoint(masks):
        return ""
    longest = os.path.commonprefix([stem[::-1] for stem in masks])[::-1]
    endings = [longest[start:] for start in range(len(longest))]
    fits = {ending: sum(stem.removesuffix(ending) in known for stem in masks) for ending in endings}
    most = max(fits.values(), default=0)
    best = [ending for ending in endings if most and fits[ending] == most]
    if len(best) > 1:
        raise ValueError(
            f"the masks' names may end in {' or '.join(map(repr, best))} beyond those of their images; set mask_ending "
            "to the right one."
        )
    return best[0] if best else ""


def _parts_in(folder: Path) -> list[DatasetPart]:
    images, masks = _both_in(folder)
    if images and masks:
        inner = _inner_splits(images, masks)
        return inner or [DatasetPart(images, masks)]
    return [*_split_folders(folder), *_split_names(folder)]


def _both_in(folder: Path) -> tuple[Path | None, Path | None]:
    """Find the folders of images and masks in a folder.

    Raises:
        ValueError: when `mask/` may be a field of view, because another folder holds as many images.
    """
    images, masks = (folder_of(folder, names) for names in (IMAGE_NAMES, MASK_NAMES))
    if images and masks and masks.name.lower() == FIELD_OF_VIEW and (count := _count_images(images)):
        candidates = [path for path in list_subfolders(folder) if path != images and _count_images(path) == count]
        if any(path != masks for path in candidates):
            names = shorten(path.name for path in sorted({masks, *candidates}))
            raise ValueError(
                f"{folder} has several folders that may hold the masks: {names}; rename the right one to masks."
            )
    return images, masks


def _count_images(folder: Path) -> int:
    return sum(map(is_image, list_visible(folder)))


def _inner_splits(images: Path, masks: Path) -> list[DatasetPart]:
    """Find `images/train/` with `masks/train/`, and so on."""
    of_split = {SPLIT_WORDS.get(path.name.lower()): path for path in list_subfolders(images)}
    pairs = [
        DatasetPart(of_split[split], path, split)
        for path in list_subfolders(masks)
        if (split := SPLIT_WORDS.get(path.name.lower())) and split in of_split
    ]
    return _in_order(pairs) if len(pairs) == len(list_subfolders(masks)) else []


def _split_folders(folder: Path) -> Iterator[DatasetPart]:
    """Find `train/images/` with `train/masks/`, and so on.

    Raises:
        ValueError: when `mask/` of one split may be a field of view, because the masks of another split are elsewhere.
    """
    parts, lacking = [], []
    for path in list_subfolders(folder):
        split = SPLIT_WORDS.get(path.name.lower())
        images, masks = _both_in(path) if split else (None, None)
        if images and masks:
            parts.append(DatasetPart(images, masks, split))
        elif images:
            lacking.append(path)
    if parts and lacking:
        warnings.warn(
            f"{shorten(lacking)} have images but no folder of masks and are left out; put their masks into masks/.",
            stacklevel=2,
        )
    names = {part.masks.name.lower() for part in parts}
    if FIELD_OF_VIEW in names and len(names) > 1:
        raise ValueError(
            f"the splits of {folder} have their masks in folders of different names: "
            f"{shorten(part.masks.relative_to(folder) for part in parts)}; rename the right ones to masks."
        )
    yield from _in_order(parts)


def _split_names(folder: Path) -> Iterator[DatasetPart]:
    """Find `train_images/` with `train_masks/`, and so on."""
    for split in SPLIT_NAMES:
        images, masks = (folder_of(folder, names, split) for names in (IMAGE_NAMES, MASK_NAMES))
        if images and masks:
            yield DatasetPart(images, masks, split)


def _in_order(parts: Sequence[DatasetPart]) -> list[DatasetPart]:
    return sorted(parts, key=lambda part: SPLIT_NAMES.index(part.split or "train"))


def _meaning(name: str, names: Sequence[str]) -> str | None:
    """Return the split in a folder's name beside one of the names, None without a split; "" when no name matches."""
    words = [word.lower() for word in WORD.findall(name)]
    splits = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
    rest = "".join(word for word in words if word not in SPLIT_WORDS)
    if rest not in names or len(splits) > 1:
        return ""
    return splits[0] if splits else None


def _holds_images(folder: Path) -> bool:
    return any(path.is_dir() or is_image(path) for path in list_visible(folder))


def _nothing_found(dataset_dir: Path) -> str:
    images, masks = (folder_of(dataset_dir, names) for names in (IMAGE_NAMES, MASK_NAMES))
    missing = dataset_dir / ("masks" if images and not masks else "images")
    held = shorten(f"{folder.name}/" for folder in list_subfolders(dataset_dir)) or "no folders"
    if files := _count_images(dataset_dir):
        held += f" and {files} image files; the masks' names may keep a common ending, such as -mask"
    return (
        f"no folder {missing}: {dataset_dir} holds {held}; put images into images/ and masks into masks/, or use other "
        f"names ({', '.join(IMAGE_NAMES[1:6])}, ...; {', '.join(MASK_NAMES[1:6])}, ...)."
    )
