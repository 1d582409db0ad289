"""Listing the image files of a folder."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, stem_of, suffix_of
from monai_tunevlseg.data.io.metaimage import METAIMAGE_SUFFIX, PIXEL_SUFFIXES
from monai_tunevlseg.data.issues import DatasetError, DatasetIssue
from monai_tunevlseg.messages import shorten

__all__ = ["index_by_stem", "is_image", "list_images", "normalized", "list_subfolders", "list_visible"]

SYSTEM_FILES = ("thumbs.db", "desktop.ini")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
DICOM_MARK = (128, b"DICM")
"""Offset and bytes of the mark in DICOM files."""


def list_visible(folder: Path) -> list[Path]:
    """List the files and folders directly in a folder, sorted, without hidden files and files of operating systems.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    return [folder / entry.name for entry in _entries(folder)]


def list_subfolders(folder: Path) -> list[Path]:
    """List the folders directly in a folder, sorted."""
    return [folder / entry.name for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}.")
    with os.scandir(folder) as entries:
        named = sorted(entries, key=lambda entry: entry.name)
    return [entry for entry in named if not entry.name.startswith(".") and entry.name.lower() not in SYSTEM_FILES]


def list_images(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted, without hidden files and subfolders.

    Raises:
        FileNotFoundError: when the folder is missing.
        ValueError: when a file has no supported suffix, or two files have the same stem.
    """
    images, issues = index_by_stem(folder)
    if issues:
        raise DatasetError(issues, [])
    return sorted(images.values())


def is_image(path: Path) -> bool:
    """Return whether a file's name has a supported suffix."""
    return suffix_of(path).lower() in SUFFIXES


def normalized(name: str) -> str:
    """Return a name in the Unicode form NFC, in which names are compared; macOS decomposes names (NFD)."""
    return unicodedata.normalize("NFC", name)


def index_by_stem(
    folder: Path, ending: str = "", ignored: re.Pattern[str] | None = None
) -> tuple[dict[str, Path], list[DatasetIssue]]:
    """List the image files directly in a folder by stem, without hidden files and subfolders.

    A warning names subfolders with images when the folder itself holds images.

    Args:
        folder: the folder.
        ending: the ending of every stem, which is removed ("_Segmentation").
        ignored: a pattern of whole file names to skip.

    Returns:
        the file of each stem, in the Unicode form NFC, the first of several, and the issues.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    entries = list_visible(folder)
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


def _unusable(folder: Path, entries: Sequence[Path], unexpected: Sequence[Path]) -> list[DatasetIssue | None]:
    """Return the issues of unusable files: other files than images, broken links, and names that JSON cannot hold."""
    dicom = [path for path in unexpected if _is_dicom(path)]
    others = [path for path in unexpected if path not in dicom]
    broken = [path for path in entries if path.is_symlink() and not path.exists()]
    return [
        _extra(
            dicom,
            f"{folder} holds DICOM files: {{}}; convert a series to one NIfTI volume (with dcm2niix), and single "
            "images to PNG.",
        ),
        _extra(others, f"{folder} holds files that are not images: {{}}; supported are {', '.join(SUFFIXES)}."),
        _extra(broken, f"{folder} holds broken links: {{}}; restore their files or remove the links."),
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
        return False  # an unreadable file is reported elsewhere


def _warn_of_subfolders(folder: Path, entries: Sequence[Path]) -> None:
    skipped = [path.name for path in entries if path.is_dir() and any(map(is_image, list_visible(path)))]
    if skipped:
        warnings.warn(
            f"{folder} holds images, so its subfolders with images are skipped: {shorten(skipped)}; move their images "
            "up to use them too.",
            stacklevel=3,
        )


def _holds_pixels(path: Path) -> bool:
    """Return whether a file holds the pixels of a MetaImage header beside it."""
    return path.suffix.lower() in PIXEL_SUFFIXES and path.with_suffix(METAIMAGE_SUFFIX).is_file()


def _extra(paths: Sequence[Path], message: str) -> DatasetIssue | None:
    if not paths:
        return None
    names = shorten(path.name if _is_utf8(path) else ascii(path.name) for path in paths)
    return DatasetIssue("extra", message.replace("{}", names), tuple(map(str, paths)))
