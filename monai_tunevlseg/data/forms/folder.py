"""The uniform form, which the layout `folder` reads to the same samples: `images/`, `masks/` and `splits.json`.

Images are copied unchanged, except that MetaImage and NRRD files become NIfTI. Masks get one of three forms, as PNG for
pictures and NIfTI for volumes:

- one class: 0/255, in `masks/`;
- several classes in one file per image, or one class with ignored pixels: label maps in `masks/`, 1 for the first class
  and so on, 255 for ignored pixels, described by a `dataset.json`;
- several classes with separate masks, which may overlap or be empty: 0/255, in a folder `masks/CLASS/` for each.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from monai_tunevlseg.data.forms._base import (
    ConvertedDataset,
    Form,
    SourceDataset,
    image_of,
    read_masks,
    to_label_map,
)
from monai_tunevlseg.data.io.file_suffixes import is_volume_file, suffix_of
from monai_tunevlseg.data.io.volumes import NIFTI_SUFFIXES
from monai_tunevlseg.data.io.writing import write_mask, write_volume
from monai_tunevlseg.data.layouts._dataset_json import write_dataset_json
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX
from monai_tunevlseg.data.samples import Case, Sample
from monai_tunevlseg.data.splits import write_splits
from monai_tunevlseg.messages import shorten

__all__ = ["FORM", "write_folder"]

BINARY, LABELS, FOLDERS = "binary masks", "label maps", "a folder of binary masks for each class"


def write_folder(source: SourceDataset, folder: Path, advanced: Callable[[], None]) -> ConvertedDataset:
    """Write a dataset in this form (see `WriteDataset`)."""
    if source.spec.intensity_window is not None:
        raise ValueError(
            f"intensity_window {list(source.spec.intensity_window)} does not apply to the form 'folder', which copies "
            "images unchanged; set it when you train on the new dataset."
        )
    masks = _choose_masks(source)
    (folder / "images").mkdir()
    for name in source.class_names if masks == FOLDERS else (".",):
        (folder / "masks" / name).mkdir(parents=True)

    def write(case: Case) -> None:
        image, name = image_of(case), source.names[case.stem]
        _write_image(image, folder / "images", name)
        for part, mask in _files(case, masks, source.class_names).items():
            write_mask(mask, image, folder / "masks" / part, name)

    source.write_cases(write, advanced)
    if masks == LABELS:
        write_dataset_json(folder, source.class_names, IGNORE_INDEX if source.has_ignored_pixels else None)
    names = {split: [source.names[stem] for stem in stems] for split, stems in source.splits.items()}
    write_splits(folder / "splits.json", names)
    usage = ("layout: folder", f"class_names: {json.dumps(list(source.class_names))}")
    return ConvertedDataset.of(source, masks, source.class_names, usage)


FORM = Form(write_folder)


def _choose_masks(source: SourceDataset) -> str:
    class_names, ignored = source.class_names, source.has_ignored_pixels
    if len(class_names) == 1 and not ignored:
        return BINARY
    if all(_is_label_map(case.samples) for case in source.cases) and len(class_names) < IGNORE_INDEX:
        return LABELS
    unexpected = [name for name in class_names if Path(name).name != name or name.startswith(".")]
    if unexpected or ignored:
        reason = (
            f"{shorten(unexpected)} cannot be the name of a folder" if unexpected else "binary masks ignore no pixels"
        )
        raise ValueError(f"these masks need a folder for each class, but {reason}; choose other classes.")
    return FOLDERS


def _is_label_map(samples: Sequence[Sample]) -> bool:
    files = {sample["label"] if isinstance(sample["label"], str) else None for sample in samples}
    return len(files) == 1 and None not in files and all("label_value" in sample for sample in samples)


def _files(case: Case, form: str, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the masks of an image by their folder in `masks/`, uint8 of the image's shape."""
    masks = read_masks(case)
    if form == LABELS:
        values = {name: value for value, name in enumerate(class_names, start=1)}
        return {".": to_label_map(masks, values, IGNORE_INDEX)}
    return {"." if form == BINARY else name: mask * np.uint8(255) for name, mask in masks.items()}


def _write_image(image: Path, folder: Path, name: str) -> None:
    if is_volume_file(image) and suffix_of(image).lower() not in NIFTI_SUFFIXES:
        write_volume(image, folder / f"{name}.nii.gz")
    else:
        shutil.copyfile(image, folder / f"{name}{suffix_of(image)}")
