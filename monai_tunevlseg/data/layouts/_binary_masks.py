"""What layouts share whose images lie in one folder and their binary masks, of the same names, in another."""

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
    """List a case with one sample for each image, also where its mask is empty.

    Masks are only measured here and read when they are loaded.

    Args:
        folders: folders of images, and for each the folder of their masks.
        encoding: one class and its binary masks.
        ending: what the stems of masks end in beyond those of their images.

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
        images, strange_images = index_by_stem(image_folder)
        masks, strange_masks = index_by_stem(mask_folder, ending)
        stems, unmatched = pair_masks(image_folder.parent, images, {stem: [mask] for stem, mask in masks.items()})
        cases += [Case(stem, [encoding.sample(images[stem], masks[stem], name)]) for stem in stems]
        issues += strange_images + strange_masks + unmatched
    if not cases and not issues:
        raise FileNotFoundError(f"there are no images in {', '.join(map(str, folders))}; unpack the dataset there.")
    return sorted_or_raise(cases, issues)
