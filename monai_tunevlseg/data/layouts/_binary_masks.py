"""Reading datasets with images in one folder and binary masks of the same names in another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monai_tunevlseg.data.image_files import index_by_stem
from monai_tunevlseg.data.issues import DatasetIssue, sorted_or_raise
from monai_tunevlseg.data.layouts._pairing import pair_masks
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["read_binary_masks"]


def read_binary_masks(folders: Mapping[Path, Path], encoding: MaskEncoding, ending: str = "") -> list[Case]:
    """Return a case with one sample for each image, even when its mask is empty.

    Only the sizes of masks are read here; their pixels are read when they are loaded.

    Args:
        folders: the folders of images, each with the folder of its masks.
        encoding: the encoding of one class in binary masks.
        ending: the ending of the masks' stems beyond those of their images.

    Returns:
        the cases, sorted by stem.

    Raises:
        FileNotFoundError: when a folder is missing.
        DatasetError: when images and masks do not belong together or a file cannot be read; it names them.
    """
    (name,) = encoding.class_names
    cases: list[Case] = []
    issues: list[DatasetIssue] = []
    for image_folder, mask_folder in folders.items():
        images, unexpected_images = index_by_stem(image_folder)
        masks, unexpected_masks = index_by_stem(mask_folder, ending)
        stems, unmatched = pair_masks(image_folder.parent, images, {stem: [mask] for stem, mask in masks.items()})
        cases += [Case(stem, [encoding.sample(images[stem], masks[stem], name)]) for stem in stems]
        issues += unexpected_images + unexpected_masks + unmatched
    if not cases and not issues:
        raise FileNotFoundError(f"no images in {', '.join(map(str, folders))}; unpack the dataset there.")
    return sorted_or_raise(cases, issues)
