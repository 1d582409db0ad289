"""Finding the files of a dataset, and checking that images and masks belong together."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, is_volume_file, stem_of, suffix_of
from monai_tunevlseg.data.io.metaimage import METAIMAGE_SUFFIX, PIXEL_SUFFIXES
from monai_tunevlseg.data.io.pictures import exif_hint
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.volumes import same_grid
from monai_tunevlseg.data.issues import DatasetError, DatasetIssue, map_files
from monai_tunevlseg.messages import shorten

__all__ = [
    "by_stem",
    "find_root",
    "inside",
    "is_image",
    "list_images",
    "match",
    "normalized",
    "pair",
    "read_names",
    "subfolders",
    "visible",
]

SYSTEM_FILES = ("thumbs.db", "desktop.ini")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
DICOM_MARK = (128, b"DICM")
"""Where DICOM's mark begins in a file, and what it is."""


def visible(folder: Path) -> list[Path]:
    """List what is directly in a folder, sorted; hidden files and those of operating systems are passed over.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    return [folder / entry.name for entry in _entries(folder)]


def subfolders(folder: Path) -> list[Path]:
    """List the folders directly in a folder, sorted."""
    return [folder / entry.name for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}.")
    with os.scandir(folder) as entries:
        named = sorted(entries, key=lambda entry: entry.name)
    return [entry for entry in named if not entry.name.startswith(".") and entry.name.lower() not in SYSTEM_FILES]


def list_images(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted; hidden files and subfolders are passed over.

    Raises:
        FileNotFoundError: when the folder is missing.
        ValueError: when a file has no supported suffix or two have the same stem.
    """
    images, issues = by_stem(folder)
    if issues:
        raise DatasetError(issues, [])
    return sorted(images.values())


def is_image(path: Path) -> bool:
    """Return whether a file's name has a supported suffix."""
    return suffix_of(path).lower() in SUFFIXES


def normalized(name: str) -> str:
    """Return a name in the one Unicode form (NFC) that names are compared in; macOS decomposes them (NFD)."""
    return unicodedata.normalize("NFC", name)


def by_stem(
    folder: Path, ending: str = "", ignored: re.Pattern[str] | None = None
) -> tuple[dict[str, Path], list[DatasetIssue]]:
    """List the image files directly in a folder by stem; hidden files and subfolders are passed over.

    A warning names subfolders with images beside the images of the folder itself.

    Args:
        folder: where they are.
        ending: what every stem ends in, which is taken off ("_Segmentation").
        ignored: files whose whole name it matches are passed over.

    Returns:
        the file of each stem, in Unicode's form NFC, the first of several, and what is wrong.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    entries = visible(folder)
    files = [path for path in entries if path.is_file() and not _holds_pixels(path)]
    if ignored is not None:
        files = [path for path in files if not ignored.fullmatch(path.name)]
    images = [path for path in files if is_image(path) and _is_utf8(path)]
    of_stem: dict[str, list[Path]] = {}
    for path in images:
        stem = normalized(stem_of(path))
        if stem.endswith(ending):
            of_stem.setdefault(stem.removesuffix(ending), []).append(path)
    repeated = [path for paths in of_stem.values() if len(paths) > 1 for path in paths]
    named_otherwise = [path for path in images if not normalized(stem_of(path)).endswith(ending)]
    issues = [
        *_unusable(folder, entries, [path for path in files if not is_image(path)]),
        _extra(named_otherwise, f"{folder} holds files whose names do not end in {ending}: {{}}; remove them."),
        _extra(repeated, f"{folder} holds several files with the same stem: {{}}; keep one of each."),
    ]
    if images:
        _warn_of_subfolders(folder, entries)
    return {stem: paths[0] for stem, paths in of_stem.items()}, [issue for issue in issues if issue]


def _unusable(folder: Path, entries: Sequence[Path], strange: Sequence[Path]) -> list[DatasetIssue | None]:
    """Name the files that are not images, or cannot be: links to nothing, and names that JSON cannot hold."""
    dicom = [path for path in strange if _is_dicom(path)]
    others = [path for path in strange if path not in dicom]
    broken = [path for path in entries if path.is_symlink() and not path.exists()]
    return [
        _extra(
            dicom,
            f"{folder} holds DICOM files: {{}}; convert them first, a series to one NIfTI volume (dcm2niix does it), "
            "single images to PNG.",
        ),
        _extra(others, f"{folder} holds files that are not images: {{}}; supported are {', '.join(SUFFIXES)}."),
        _extra(broken, f"{folder} holds links whose files are missing: {{}}; restore the files or remove the links."),
        _extra(
            [path for path in entries if not _is_utf8(path)],
            f"{folder} holds files whose names are not UTF-8: {{}}; rename them.",
        ),
    ]


def _is_utf8(path: Path) -> bool:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    start, mark = DICOM_MARK
    try:
        with path.open("rb") as file:
            return file.read(start + len(mark))[start:] == mark
    except OSError:
        return False  # then it is a strange file in any case


def _warn_of_subfolders(folder: Path, entries: Sequence[Path]) -> None:
    passed_over = [path.name for path in entries if path.is_dir() and any(map(is_image, visible(path)))]
    if passed_over:
        warnings.warn(
            f"{folder} holds images, so that its subfolders with images are passed over: {shorten(passed_over)}; "
            "move their images up to use them too.",
            stacklevel=3,
        )


def _holds_pixels(path: Path) -> bool:
    """Return whether a file has the pixels of a MetaImage beside it."""
    return path.suffix.lower() in PIXEL_SUFFIXES and path.with_suffix(METAIMAGE_SUFFIX).is_file()


def _extra(paths: Sequence[Path], message: str) -> DatasetIssue | None:
    if not paths:
        return None
    names = shorten(path.name if _is_utf8(path) else ascii(path.name) for path in paths)
    return DatasetIssue("extra", message.replace("{}", names), tuple(map(str, paths)))


def inside(folder: Path, name: str, source: Path) -> Path:
    """Return the path of a file that a list names, which must lie in the folder.

    Args:
        folder: where the file must be.
        name: its path in the folder, with `/`.
        source: the list, for the message.

    Raises:
        ValueError: when the name leads out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or Path(name).is_absolute() or not path.parts:
        raise ValueError(f"{source} names the file {name!r}, which is not in {folder}; name files in that folder only.")
    return folder / name


def read_names(path: Path) -> list[str]:
    """Read a text file of names, divided by blanks or lines.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a list of names in UTF-8 (byte {error.start}); save it as UTF-8.") from error


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
        held = shorten(f"{folder.name}/" for folder in subfolders(dataset_dir)) or "no folders"
        raise FileNotFoundError(
            f"neither {dataset_dir} nor a folder in it has {wanted}; it holds {held}: unpack the dataset there, rename "
            "its folders, or read them with the layout folder."
        )
    if len(found) > 1:
        names = shorten(folder.name for folder in found)
        raise ValueError(f"{dataset_dir} has {wanted} in several of its folders: {names}; set dataset_dir to one.")
    return found[0]


def pair(
    dataset_dir: Path, images: Mapping[str, Path], masks: Mapping[str, Sequence[Path]]
) -> tuple[list[str], list[DatasetIssue]]:
    """Find the images that have masks, as `match` does, but without a look into the files."""
    lonely = [images[stem] for stem in sorted(images.keys() - masks.keys())]
    orphans = [mask for stem in sorted(masks.keys() - images.keys()) for mask in masks[stem]]
    lists = {"images without a mask": lonely, "masks without an image": orphans}
    complaints = [f"{len(paths)} {what}: {shorten(map(stem_of, paths))}" for what, paths in lists.items() if paths]
    way_out = (
        _rename_alike(lonely, orphans) if orphans else "save an empty mask (all 0) for an image that shows nothing"
    )
    message = f"{dataset_dir} has {'; and '.join(complaints)}; files belong together by their names: {way_out}."
    issues = [DatasetIssue("missing", message, tuple(map(str, [*lonely, *orphans])))] if complaints else []
    return sorted(images.keys() & masks.keys()), issues


def _rename_alike(images: Sequence[Path], masks: Sequence[Path]) -> str:
    """Say how to make names belong together, with an example where all images and all masks end in their own way."""
    of_image, of_mask = (_without_ending(paths) for paths in (images, masks))
    both = sorted(of_image.keys() & of_mask.keys())
    if not both:
        return "rename them alike"
    image, mask = of_image[both[0]], of_mask[both[0]]
    return f"rename them alike, such as {mask.name} to {stem_of(image)}{suffix_of(mask)}"


def _without_ending(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the files by their stems without what all of these end in."""
    of_stem = {normalized(stem_of(path)): path for path in paths}
    ending = os.path.commonprefix([stem[::-1] for stem in of_stem])[::-1]
    return {stem.removesuffix(ending): path for stem, path in of_stem.items()} if len(of_stem) > 1 else {}


def match(
    dataset_dir: Path, images: Mapping[str, Path], masks: Mapping[str, Sequence[Path]]
) -> tuple[list[str], list[DatasetIssue]]:
    """Find the images that have masks of their size.

    Args:
        dataset_dir: the dataset's folder, for messages.
        images: the image of each stem.
        masks: the masks of each stem, one or more.

    Returns:
        their stems, sorted, and what is wrong with the others: partners that are missing, other sizes, headers that
        cannot be read. A warning names those with masks that lie elsewhere by their affines.
    """
    both, issues = pair(dataset_dir, images, masks)

    def measure(stem: str) -> tuple[str, list[str]]:
        return stem, _of_another_size(images[stem], masks[stem])

    measured, unreadable = map_files(measure, both, lambda stem: [images[stem], *masks[stem]])
    wrong = [complaint for _, complaints in measured for complaint in complaints]
    if wrong:
        message = (
            f"{dataset_dir} has {len(wrong)} masks of another size than their image: {shorten(wrong)}; paste "
            "masks of a crop back to their place, and resize others to their image."
        )
        files = [str(path) for stem, found in measured if found for path in (images[stem], *masks[stem])]
        issues.append(DatasetIssue("size", message, tuple(files)))
    fitting = [stem for stem, complaints in measured if not complaints]
    _warn_of_geometry({stem: [(images[stem], mask) for mask in masks[stem]] for stem in fitting})
    return fitting, issues + unreadable


def _of_another_size(image: Path, masks: Iterable[Path]) -> list[str]:
    shape = read_shape(image)
    return [
        f"{mask.name} is {_size(found)} and {image.name} {_size(shape)}{exif_hint(image, shape, found)}"
        for mask, found in ((mask, read_shape(mask, image)) for mask in masks)
        if found != shape
    ]


def _warn_of_geometry(pairs: Mapping[str, Sequence[tuple[Path, Path]]]) -> None:
    moved = [stem for stem, both in pairs.items() if any(_lies_elsewhere(image, mask) for image, mask in both)]
    if moved:
        warnings.warn(
            f"{len(moved)} NIfTI masks have another affine than their image: {shorten(moved)}; "
            "their voxels are taken to lie on each other as they are stored.",
            stacklevel=2,
        )


def _lies_elsewhere(image: Path, mask: Path) -> bool:
    both_volumes = is_volume_file(image) and is_volume_file(mask) and len(read_shape(image)) == 3
    return both_volumes and not same_grid(mask, image)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
