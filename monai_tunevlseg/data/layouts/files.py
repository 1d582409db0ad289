"""Finding the files of a dataset, and checking that images and masks belong together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from monai_tunevlseg.data.cases import shorten
from monai_tunevlseg.data.metaimages import META_SUFFIX, PIXEL_SUFFIXES
from monai_tunevlseg.data.problems import DatasetError, Problem, map_files
from monai_tunevlseg.data.reading import SUFFIXES, read_shape, stem_of, suffix_of

__all__ = ["by_stem", "find_root", "list_images", "match", "pair", "subfolders", "visible"]

SYSTEM_FILES = ("thumbs.db", "desktop.ini")


def visible(folder: Path) -> list[Path]:
    """List what is directly in a folder, sorted; hidden files and those of operating systems are passed over.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}.")
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in SYSTEM_FILES
    )


def subfolders(folder: Path) -> list[Path]:
    """List the folders directly in a folder, sorted."""
    return [path for path in visible(folder) if path.is_dir()]


def list_images(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted; hidden files and subfolders are passed over.

    Raises:
        FileNotFoundError: when the folder is missing.
        ValueError: when a file has no supported suffix or two have the same stem.
    """
    images, problems = by_stem(folder)
    if problems:
        raise DatasetError(problems, [])
    return sorted(images.values())


def by_stem(
    folder: Path, ending: str = "", ignored: re.Pattern[str] | None = None
) -> tuple[dict[str, Path], list[Problem]]:
    """List the image files directly in a folder by stem; hidden files and subfolders are passed over.

    Args:
        folder: where they are.
        ending: what every stem ends in, which is taken off ("_Segmentation").
        ignored: files whose whole name it matches are passed over.

    Returns:
        the file of each stem, the first of several, and what is wrong.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    files = [path for path in visible(folder) if path.is_file() and not _holds_pixels(path)]
    if ignored is not None:
        files = [path for path in files if not ignored.fullmatch(path.name)]
    strange = [path for path in files if suffix_of(path).lower() not in SUFFIXES]
    images = [path for path in files if suffix_of(path).lower() in SUFFIXES]
    named_otherwise = [path for path in images if not stem_of(path).endswith(ending)]
    of_stem: dict[str, list[Path]] = {}
    for path in images:
        if stem_of(path).endswith(ending):
            of_stem.setdefault(stem_of(path).removesuffix(ending), []).append(path)
    repeated = [path for paths in of_stem.values() if len(paths) > 1 for path in paths]
    problems = [
        _extra(strange, f"{folder} holds files that are no images: {{}}; supported are {', '.join(SUFFIXES)}."),
        _extra(named_otherwise, f"{folder} holds files whose names do not end in {ending}: {{}}; remove them."),
        _extra(repeated, f"{folder} holds several files with the same stem: {{}}; keep one of each."),
    ]
    return {stem: paths[0] for stem, paths in of_stem.items()}, [problem for problem in problems if problem]


def _holds_pixels(path: Path) -> bool:
    """Tell whether a file has the pixels of a MetaImage beside it."""
    return path.suffix.lower() in PIXEL_SUFFIXES and path.with_suffix(META_SUFFIX).is_file()


def _extra(paths: Sequence[Path], message: str) -> Problem | None:
    if not paths:
        return None
    names = shorten(path.name for path in paths)
    return Problem("extra", message.replace("{}", names), tuple(map(str, paths)))


def find_root(dataset_dir: Path, is_root: Callable[[Path], bool], wanted: str) -> Path:
    """Find the folder that a dataset's archive was unpacked to: the given one, or the only one in it that fits.

    Args:
        dataset_dir: the given folder.
        is_root: tells whether a folder is the one.
        wanted: what it must have, for the message.

    Raises:
        FileNotFoundError: when no folder fits.
        ValueError: when several do.
    """
    if is_root(dataset_dir):
        return dataset_dir
    found = [folder for folder in subfolders(dataset_dir) if is_root(folder)]
    if not found:
        raise FileNotFoundError(f"neither {dataset_dir} nor a folder in it has {wanted}; unpack the dataset there.")
    if len(found) > 1:
        names = shorten(folder.name for folder in found)
        raise ValueError(f"{dataset_dir} has {wanted} in several of its folders: {names}; set dataset_dir to one.")
    return found[0]


def pair(
    dataset_dir: Path, images: Mapping[str, Path], masks: Mapping[str, Sequence[Path]]
) -> tuple[list[str], list[Problem]]:
    """Find the images that have masks, as `match` does, but without a look into the files."""
    lonely = [images[stem] for stem in sorted(images.keys() - masks.keys())]
    orphans = [mask for stem in sorted(masks.keys() - images.keys()) for mask in masks[stem]]
    lists = {"images without a mask": lonely, "masks without an image": orphans}
    complaints = [f"{len(paths)} {what}: {shorten(map(stem_of, paths))}" for what, paths in lists.items() if paths]
    message = f"{dataset_dir} has {'; and '.join(complaints)}; files belong together by their names."
    problems = [Problem("missing", message, tuple(map(str, [*lonely, *orphans])))] if complaints else []
    return sorted(images.keys() & masks.keys()), problems


def match(
    dataset_dir: Path, images: Mapping[str, Path], masks: Mapping[str, Sequence[Path]]
) -> tuple[list[str], list[Problem]]:
    """Find the images that have masks of their size.

    Args:
        dataset_dir: the dataset's folder, for messages.
        images: the image of each stem.
        masks: the masks of each stem, one or more.

    Returns:
        their stems, sorted, and what is wrong with the others: partners that are missing, other sizes, headers that
        cannot be read.
    """
    both, problems = pair(dataset_dir, images, masks)

    def measure(stem: str) -> tuple[str, list[str]]:
        return stem, _of_another_size(images[stem], masks[stem])

    measured, unreadable = map_files(measure, both, lambda stem: [images[stem], *masks[stem]])
    wrong = [complaint for _, complaints in measured for complaint in complaints]
    if wrong:
        message = f"{dataset_dir} has {len(wrong)} masks of another size than their image: {shorten(wrong)}."
        files = [str(path) for stem, found in measured if found for path in (images[stem], *masks[stem])]
        problems.append(Problem("size", message, tuple(files)))
    return [stem for stem, complaints in measured if not complaints], problems + unreadable


def _of_another_size(image: Path, masks: Iterable[Path]) -> list[str]:
    shape = read_shape(image)
    return [
        f"{mask.name} is {_size(found)} and {image.name} {_size(shape)}"
        for mask, found in ((mask, read_shape(mask)) for mask in masks)
        if found != shape
    ]


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
