"""Finding the files of a dataset, and checking that images and masks belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from monai_tunevlseg.data.cases import shorten
from monai_tunevlseg.data.reading import SUFFIXES, read_shape, stem_of, suffix_of

__all__ = ["by_stem", "check_pairs", "find_root", "list_images", "subfolders", "visible"]

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


def list_images(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """List the image files directly in a folder, sorted; hidden files and subfolders are passed over.

    Raises:
        FileNotFoundError: when the folder is missing.
        ValueError: when a file has none of the suffixes or two have the same stem.
    """
    files = [path for path in visible(folder) if path.is_file()]
    strange = [path.name for path in files if suffix_of(path).lower() not in suffixes]
    if strange:
        raise ValueError(
            f"{folder} holds files that are no images: {shorten(strange)}; supported are {', '.join(suffixes)}."
        )
    twice = [stem for stem, count in Counter(map(stem_of, files)).items() if count > 1]
    if twice:
        raise ValueError(f"{folder} holds several files with the stem {shorten(twice)}; keep one of each.")
    return files


def by_stem(folder: Path, ending: str = "") -> dict[str, Path]:
    """List the image files of a folder by stem.

    Args:
        folder: where they are.
        ending: what every stem ends in, which is taken off ("_Segmentation").

    Raises:
        FileNotFoundError: when the folder is missing.
        ValueError: as for `list_images`, and when a stem has another ending.
    """
    images = list_images(folder)
    other = [path.name for path in images if not stem_of(path).endswith(ending)]
    if other:
        raise ValueError(f"{folder} holds files whose names do not end in {ending}: {shorten(other)}; remove them.")
    return {stem_of(path).removesuffix(ending): path for path in images}


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


def check_pairs(dataset_dir: Path, images: Mapping[str, Path], masks: Mapping[str, Sequence[Path]]) -> list[str]:
    """Check that every image has its masks, every mask its image, and all of them the same size.

    Args:
        dataset_dir: the dataset's folder, for messages.
        images: the image of each stem.
        masks: the masks of each stem, one or more.

    Returns:
        the stems, sorted.

    Raises:
        ValueError: when a partner is missing, sizes differ or a header cannot be read; the message names the files.
    """
    lonely = {
        "images without a mask": sorted(images.keys() - masks.keys()),
        "masks without an image": sorted(masks.keys() - images.keys()),
    }
    complaints = [f"{len(stems)} {what}: {shorten(stems)}" for what, stems in lonely.items() if stems]
    if complaints:
        raise ValueError(f"{dataset_dir} has {'; and '.join(complaints)}; files belong together by their names.")
    stems = sorted(images)
    with ThreadPoolExecutor() as pool:
        wrong = list(pool.map(lambda stem: _of_another_size(images[stem], masks[stem]), stems))
    _refuse_sizes(dataset_dir, [complaint for complaints in wrong for complaint in complaints])
    return stems


def _of_another_size(image: Path, masks: Iterable[Path]) -> list[str]:
    shape = read_shape(image)
    return [
        f"{mask.name} is {_size(found)} and {image.name} {_size(shape)}"
        for mask, found in ((mask, read_shape(mask)) for mask in masks)
        if found != shape
    ]


def _refuse_sizes(dataset_dir: Path, wrong: list[str]) -> None:
    if wrong:
        raise ValueError(f"{dataset_dir} has {len(wrong)} masks of another size than their image: {shorten(wrong)}.")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
