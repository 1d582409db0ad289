"""Reading datasets with images in one folder and binary masks of the same names in another."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from monai_tunevlseg.data.image_files import index_by_stem
from monai_tunevlseg.data.issues import DatasetIssue, sorted_or_raise
from monai_tunevlseg.data.layouts._pairing import pair_masks
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["GRAY_EDGE", "Naming", "PairedFiles", "find_pairs", "read_binary_masks"]

GRAY_EDGE = 128
"""Lowest brightness of the foreground of masks that may have gray edges."""


@dataclass(frozen=True)
class Naming:
    """How the names of images and masks belong together.

    Args:
        ending: the ending of the masks' stems beyond those of their images.
        image_of: returns the stem of the image by the stem of a mask without the ending; None = they are equal.
        skipped_images: pattern of whole names of files that are not read from the folder of images.
        skipped_masks: pattern of whole names of files that are not read from the folder of masks.
    """

    ending: str = ""
    image_of: Callable[[str], str] | None = None
    skipped_images: re.Pattern[str] | None = None
    skipped_masks: re.Pattern[str] | None = None


SAME_NAMES = Naming()


class PairedFiles(NamedTuple):
    """An image and its mask."""

    stem: str
    image: Path
    mask: Path


def find_pairs(
    folders: Mapping[Path, Path], naming: Naming = SAME_NAMES
) -> tuple[list[PairedFiles], list[DatasetIssue]]:
    """Pair the images and masks of folders by name and size.

    Args:
        folders: the folders of images, each with the folder of its masks.
        naming: how their names belong together.

    Returns:
        the pairs, and the issues of the other files.

    Raises:
        FileNotFoundError: when a folder is missing, or none holds images.
    """
    pairs: list[PairedFiles] = []
    issues: list[DatasetIssue] = []
    for image_folder, mask_folder in folders.items():
        images, unexpected_images = index_by_stem(image_folder, ignored=naming.skipped_images)
        masks, unexpected_masks = index_by_stem(mask_folder, naming.ending, naming.skipped_masks)
        if naming.image_of is not None:
            masks = {naming.image_of(stem): mask for stem, mask in masks.items()}
        stems, unmatched = pair_masks(image_folder.parent, images, {stem: [mask] for stem, mask in masks.items()})
        pairs += [PairedFiles(stem, images[stem], masks[stem]) for stem in stems]
        issues += unexpected_images + unexpected_masks + unmatched
    if not pairs and not issues:
        raise FileNotFoundError(f"no images in {', '.join(map(str, folders))}; unpack the dataset there.")
    return pairs, issues


def read_binary_masks(folders: Mapping[Path, Path], encoding: MaskEncoding, naming: Naming = SAME_NAMES) -> list[Case]:
    """Return a case with one sample for each image, even when its mask is empty.

    Only the sizes of masks are read here; their pixels are read when they are loaded.

    Args:
        folders: the folders of images, each with the folder of its masks.
        encoding: the encoding of one class in binary masks.
        naming: how the names of images and masks belong together.

    Returns:
        the cases, sorted by stem.

    Raises:
        FileNotFoundError: when a folder is missing, or none holds images.
        DatasetError: when images and masks do not belong together or a file cannot be read; it names them.
    """
    (name,) = encoding.class_names
    pairs, issues = find_pairs(folders, naming)
    return sorted_or_raise((Case(pair.stem, [encoding.sample(pair.image, pair.mask, name)]) for pair in pairs), issues)
