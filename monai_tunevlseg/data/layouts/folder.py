"""The layout `folder`: `images/` and `masks/` with the same stems, in any mixture of supported file types.

The folders may have other common names and may exist for each of the owner's splits, and the names of all masks may
have a common ending beyond those of their images (see `_discovery`). Masks of classes that overlap lie in a folder for
each class instead, `masks/CLASS/`. A `dataset.json` may describe label maps (see `_dataset_json`). nnU-Net's raw format
is read as well (see `_nnunet`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from monai_tunevlseg.data.class_presence import find_ids_from_zero, warn_of_classes_without_pairs
from monai_tunevlseg.data.image_files import index_by_stem
from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, is_volume_file
from monai_tunevlseg.data.io.mask_values import distinct_values, to_binary_mask, to_label_map
from monai_tunevlseg.data.io.orientation import array_axis
from monai_tunevlseg.data.io.reading import read_shape, read_stored_mask
from monai_tunevlseg.data.issues import DatasetIssue, map_files, sorted_or_raise
from monai_tunevlseg.data.layouts._base import Layout
from monai_tunevlseg.data.layouts._class_folders import class_folders, read_class_folders
from monai_tunevlseg.data.layouts._dataset_json import DatasetJson, read_dataset_json
from monai_tunevlseg.data.layouts._discovery import DatasetPart, find_masks, find_parts
from monai_tunevlseg.data.layouts._nnunet import read_fold
from monai_tunevlseg.data.layouts._pairing import pair_masks
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Sample, Splits
from monai_tunevlseg.data.splits import DrawSplits, complete_splits
from monai_tunevlseg.messages import shorten

__all__ = ["LAYOUT", "read_folder", "samples_of", "split_folder"]


def read_folder(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases of a folder with images and masks.

    With one class, a picture has one sample, even when its mask is empty; with several classes, or one of several in a
    `dataset.json`, it has one for each present class. A volume has one for each class and slice that shows the class,
    and with `encoding.every_slice` one for each other slice too. Of masks of one class, only the sizes are read here,
    and the pixels when they are loaded; label maps and volumes are read once.

    Args:
        dataset_dir: the folder.
        encoding: the classes, and how masks encode them.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of volumes.

    Returns:
        the cases, sorted by stem; when several of the owner's splits have an image of the same name, stems begin with
        the split, such as `train/1`.

    Raises:
        FileNotFoundError: when a folder is missing.
        ValueError: when images and masks do not match or files are unreadable; the message names them.
    """
    description = read_dataset_json(dataset_dir)
    images, issues = _find_images(find_parts(dataset_dir), description)
    cases: list[Case] = []
    for part, of_stem in images.items():
        if class_folders(part.masks):
            read = partial(samples_of, slice_axis=slice_axis)
            found, complaints = read_class_folders(part, of_stem, encoding, read)
        else:
            found, complaints = _read_part(part, of_stem, encoding, slice_axis, description)
        cases += found
        issues += complaints
    if description is None and encoding.label_values is None and not any(class_folders(part.masks) for part in images):
        issues += find_ids_from_zero(encoding.class_names, cases, str(dataset_dir))
        if not issues:
            warn_of_classes_without_pairs(encoding, cases, str(dataset_dir))
    if not cases and not issues:
        raise ValueError(
            f"{dataset_dir} is empty: put files ({', '.join(SUFFIXES)}) into its "
            f"{' and '.join(f'{folder.name}/' for folder in (part.images, part.masks))}."
        )
    return sorted_or_raise(cases, issues)


def split_folder(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    """Return the owner's splits when folders name them, and draw those that they leave out; else draw 80/10/10.

    nnU-Net's `splits_final.json` divides the training images of its raw format.
    """
    images, _ = _find_images(find_parts(dataset_dir), read_dataset_json(dataset_dir))
    known = {case.stem for case in cases}
    splits = {part.split: sorted(known & of_stem.keys()) for part, of_stem in images.items() if part.split}
    fold = read_fold(dataset_dir, splits["train"]) if "train" in splits else None
    if fold is None and set(splits) in (set(), {"train"}):
        return draw(known)
    return complete_splits(splits | (fold or {}), draw, str(dataset_dir))


LAYOUT = Layout(read_folder, split=split_folder)


def _find_images(
    parts: Sequence[DatasetPart], description: DatasetJson | None
) -> tuple[dict[DatasetPart, dict[str, Path]], list[DatasetIssue]]:
    """List the images of each part by stem, and the issues of its folder of images."""
    images, issues = {}, []
    for part in parts:
        images[part], unexpected = index_by_stem(part.images, description.image_ending if description else "")
        issues += unexpected
    if len(set().union(*images.values())) < sum(map(len, images.values())):
        images = {
            part: {f"{part.split}/{stem}": path for stem, path in of_stem.items()} for part, of_stem in images.items()
        }
    return images, issues


def _read_part(
    part: DatasetPart, images: dict[str, Path], encoding: MaskEncoding, slice_axis: int, description: DatasetJson | None
) -> tuple[list[Case], list[DatasetIssue]]:
    masks, issues = find_masks(part.masks, images, encoding.mask_ending)
    stems, unmatched = pair_masks(part.images.parent, images, {stem: [mask] for stem, mask in masks.items()})
    ignored = (
        {} if description is None or description.ignore_value is None else {"ignore_value": description.ignore_value}
    )
    if encoding.label_values is not None:
        description = None  # the user's values take precedence
    chosen = encoding if description is None else description.encode(encoding)

    def read(stem: str) -> Case:
        samples = samples_of(images[stem], masks[stem], chosen, slice_axis, description)
        return Case(stem, [sample | ignored for sample in samples])

    cases, unreadable = map_files(read, stems, lambda stem: [images[stem], masks[stem]])
    return cases, issues + unmatched + unreadable


def samples_of(
    image: Path, mask: Path, encoding: MaskEncoding, slice_axis: int, description: DatasetJson | None = None
) -> list[Sample]:
    """List the pairs of one image, as :func:`read_folder` describes.

    Raises:
        FileNotFoundError: when a file does not exist.
        ValueError: when the mask cannot be read or holds values without a class.
    """
    if is_volume_file(image) and len(read_shape(image)) == 3:
        return _slice_samples(image, mask, encoding, slice_axis, description)
    if len(encoding.class_names) == 1 and description is None:
        return [encoding.sample(image, mask, encoding.class_names[0])]
    present = set(distinct_values(to_label_map(read_stored_mask(mask), mask)).tolist())
    _check_label_values(mask, present, encoding, description)
    single = description is not None and len(description.class_names) == 1
    return [encoding.sample(image, mask, name) for name, value in encoding.values.items() if single or value in present]


def _slice_samples(
    image: Path, mask: Path, encoding: MaskEncoding, slice_axis: int, description: DatasetJson | None
) -> list[Sample]:
    areas = _class_areas(image, mask, encoding, description)
    cut = array_axis(slice_axis)
    others = tuple(axis for axis in range(3) if axis != cut)
    shown = {name: np.any(area, axis=others).tolist() for name, area in areas.items()}
    return [
        encoding.sample(image, mask, name, slice=index, slice_axis=slice_axis)
        for index in range(read_shape(image)[cut])
        for name in encoding.class_names
        if encoding.every_slice or shown[name][index]
    ]


def _class_areas(
    image: Path, mask: Path, encoding: MaskEncoding, description: DatasetJson | None
) -> dict[str, np.ndarray]:
    """Read a mask once, and return the area of each class."""
    stored = read_stored_mask(mask, like=image)
    if encoding.binary:
        return {encoding.class_names[0]: to_binary_mask(stored, mask, mask_threshold=encoding.mask_threshold)}
    values = to_label_map(stored, mask)
    _check_label_values(mask, set(distinct_values(values).tolist()), encoding, description)
    return {name: values == value for name, value in encoding.values.items()}


def _check_label_values(mask: Path, present: set[int], encoding: MaskEncoding, description: DatasetJson | None) -> None:
    """Refuse values without a class, unless `label_values` selects some on purpose."""
    if description is not None:
        unknown = sorted(present - {0, description.ignore_value, *range(1, len(description.class_names) + 1)})
        if unknown:
            raise ValueError(f"{mask} holds the label values {shorten(unknown)}, which are not in {description.path}.")
        return
    unknown = sorted(present - {0, *filter(None, encoding.values.values())})
    if unknown and encoding.label_values is None:
        raise ValueError(
            f"{mask} holds the label values {shorten(unknown)} beyond those of the {len(encoding.class_names)} classes "
            f"({shorten(encoding.class_names)} = 1..{len(encoding.class_names)}); add the classes, or set label_values."
        )
