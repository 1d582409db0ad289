"""nnU-Net v2's raw format: `DatasetXXX_NAME/` with the train and val splits as its training images.

Pictures become PNG, all gray or all RGB (of whose 16 bits nnU-Net's reader keeps 8); volumes become `.nii.gz` with
unchanged voxels. Masks become label maps: 1 for the first class and so on, then a last value for ignored pixels.
`splits_final.json` holds one fold, the train and val splits; nnU-Net's planning copies it to the folder where its
training reads it.

Source: `documentation/dataset_format.md`, `documentation/ignore_label.md` and `documentation/manual_data_splits.md` of
nnU-Net 2.8 (Isensee et al., nnU-Net, Nature Methods 18, 2021).
"""

from __future__ import annotations

import json
import re
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_tunevlseg.data.class_presence import absent_classes
from monai_tunevlseg.data.forms._base import (
    ConvertedDataset,
    Form,
    SourceDataset,
    image_of,
    read_masks,
    to_label_map,
)
from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.pictures import read_pixels
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.volumes import has_colors
from monai_tunevlseg.data.io.writing import write_mask, write_png, write_volume
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.layouts._dataset_json import DATASET_JSON
from monai_tunevlseg.data.layouts._nnunet import BACKGROUND, CHANNEL_ENDING, IGNORE, SPLITS_FINAL
from monai_tunevlseg.data.samples import Case
from monai_tunevlseg.messages import shorten

__all__ = ["FORM", "check_name", "write_nnunet"]

LARGEST_VALUE = 255
"""Largest value of a label map in uint8."""
PARTS = {"Tr": ("train", "val"), "Ts": ("test",)}
"""Endings of the folders' names, and the splits in them."""
PICTURE, FLAT, VOLUME = "pictures", "flat volume files", "volumes"
ENDINGS = {PICTURE: ".png", FLAT: ".nii.gz", VOLUME: ".nii.gz"}


def check_name(folder: Path) -> None:
    """Refuse a folder that nnU-Net does not find by its number.

    Raises:
        ValueError: when the name is not `DatasetXXX_NAME`.
    """
    if not re.fullmatch(r"Dataset\d{3}_.+", folder.name):
        raise ValueError(
            f"nnU-Net finds a dataset by the number in its folder's name, which {folder.name!r} does not have; write "
            f"to a folder such as {folder.parent / f'Dataset501_{folder.name}'}."
        )


def write_nnunet(source: SourceDataset, folder: Path, advanced: Callable[[], None]) -> ConvertedDataset:
    """Write a dataset in this form (see `WriteDataset`)."""
    kind = _find_kind(source)
    values = _choose_values(source)
    parts = {part: {stem for split in splits for stem in source.splits[split]} for part, splits in PARTS.items()}
    for part in parts:
        (folder / f"images{part}").mkdir()
        (folder / f"labels{part}").mkdir()
    overlaps: dict[str, str] = {}
    channels: dict[Path, int] = {}

    def write(case: Case) -> None:
        masks, image, name = read_masks(case), image_of(case), source.names[case.stem]
        if overlapping := _overlapping(masks):
            overlaps[str(image)] = ", ".join(map(repr, overlapping))
        labels = to_label_map(masks, values, values.get(IGNORE, 0))
        for part in (part for part, stems in parts.items() if case.stem in stems):
            path = folder / f"images{part}" / f"{name}{CHANNEL_ENDING}{ENDINGS[kind]}"
            channels[path] = _write_image(image, path, source.spec.intensity_window)
            write_mask(labels, image, folder / f"labels{part}", name)

    source.write_cases(write, advanced)
    _refuse_overlaps(overlaps)
    sizes = {"numTraining": len(parts["Tr"]), "file_ending": ENDINGS[kind]}
    fold = {split: [source.names[stem] for stem in source.splits[split]] for split in PARTS["Tr"]}
    _write_json(folder / DATASET_JSON, _describe(source, values, _unite_channels(channels)) | sizes)
    _write_json(folder / SPLITS_FINAL, [fold])
    class_names = tuple(name for name in values if name not in (BACKGROUND, IGNORE))
    return ConvertedDataset.of(source, "label maps", class_names, _usage(source.output, kind))


FORM = Form(write_nnunet, check_name)


def _find_kind(source: SourceDataset) -> str:
    """Return the kind of all images.

    Raises:
        ValueError: when there are several kinds, or an intensity window for volumes.
    """
    examples: dict[str, Path] = {}
    for case in source.cases:
        image = image_of(case)
        kind = (VOLUME if len(read_shape(image)) == 3 else FLAT) if is_volume_file(image) else PICTURE
        examples.setdefault(kind, image)
    if len(examples) > 1:
        held = " and ".join(f"{kind} ({path.name})" for kind, path in examples.items())
        raise ValueError(
            f"{source.spec.folder} holds {held}, which nnU-Net cannot mix; write a dataset for each kind, with a "
            "splits_file that lists only its images."
        )
    (kind,) = examples
    if kind != PICTURE and source.spec.intensity_window is not None:
        raise ValueError(
            f"intensity_window {list(source.spec.intensity_window)} does not apply to {kind}, which nnU-Net normalizes "
            "itself; leave it out."
        )
    return kind


def _choose_values(source: SourceDataset) -> dict[str, int]:
    """Return the value of each label: the requested classes, and others that a mask shows.

    Raises:
        ValueError: when a class has the name of another label, or there are too many classes.
    """
    samples = [sample for case in source.cases for sample in case.samples]
    requested = source.spec.encoding().class_names
    absent = absent_classes([name for name in source.class_names if name not in requested], samples)
    names = [name for name in source.class_names if name not in absent]
    reserved = [name for name in names if name in (BACKGROUND, IGNORE)]
    if reserved:
        raise ValueError(
            f"the class {reserved[0]!r} has the name of a label that nnU-Net reserves; choose other class_names."
        )
    labels = [BACKGROUND, *names, *([IGNORE] if source.has_ignored_pixels else [])]
    if len(labels) > LARGEST_VALUE + 1:
        raise ValueError(f"{len(names)} classes do not fit into a label map of 8 bits; choose fewer class_names.")
    _warn_of_unlearnable(source, names)
    return {name: value for value, name in enumerate(labels)}


def _warn_of_unlearnable(source: SourceDataset, class_names: Sequence[str]) -> None:
    training = {stem for split in PARTS["Tr"] for stem in source.splits[split]}
    samples = [sample for case in source.cases if case.stem in training for sample in case.samples]
    absent = absent_classes(class_names, samples)
    if absent:
        names = shorten(map(repr, absent))
        warnings.warn(f"no image of train or val shows {names}, which nnU-Net cannot learn.", stacklevel=2)


def _overlapping(masks: Mapping[str, np.ndarray]) -> list[str]:
    """Return the classes that share pixels of foreground with another one."""
    shown = np.sum([mask == 1 for mask in masks.values()], axis=0)
    return [name for name, mask in masks.items() if (shown[mask == 1] > 1).any()]


def _refuse_overlaps(overlaps: Mapping[str, str]) -> None:
    if overlaps:
        image = min(overlaps)
        raise ValueError(
            f"classes overlap in {len(overlaps)} images, such as {image} ({overlaps[image]}), but a label map of "
            "nnU-Net holds one class for each pixel; write a dataset for each class, with that class as class_names."
        )


def _write_image(image: Path, path: Path, intensity_window: Sequence[float] | None) -> int:
    """Write an image, and return the number of its channels."""
    if not is_volume_file(image):
        pixels = read_pixels(image, intensity_window)
        write_png(path, pixels)
        return 1 if pixels.ndim == 2 else 3
    if has_colors(image):
        raise ValueError(f"{image} has colors, which nnU-Net does not read from volumes; save it as gray.")
    write_volume(image, path)
    return 1


def _unite_channels(channels: Mapping[Path, int]) -> int:
    """Write gray pictures as RGB when others are RGB, and return the number of channels of all."""
    most = max(channels.values())
    for path in (path for path, number in channels.items() if number < most):
        write_png(path, np.repeat(read_pixels(path)[..., None], most, axis=-1))
    return most


def _describe(source: SourceDataset, values: Mapping[str, int], channels: int) -> dict[str, Any]:
    """Return the facts for `dataset.json`; nnU-Net standardizes channels of these names image by image."""
    info = LAYOUTS[source.spec.layout].info
    names = ("R", "G", "B") if channels == 3 else (info.modality if info else "image",)
    facts = {"channel_names": {str(number): name for number, name in enumerate(names)}, "labels": dict(values)}
    if info is None:
        return facts
    return {"name": info.title, "licence": info.license, "reference": info.source, **facts}


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _usage(output: Path, kind: str) -> list[str]:
    """Return nnU-Net's commands from the raw dataset to predictions for the test images."""
    number, configuration = output.name[7:10], "3d_fullres" if kind == VOLUME else "2d"
    images = shlex.quote(str(output / "imagesTs"))
    return [
        f"export nnUNet_raw={shlex.quote(str(output.parent))}",
        f"nnUNetv2_plan_and_preprocess -d {number} --verify_dataset_integrity",
        f"nnUNetv2_train {number} {configuration} 0",
        f"nnUNetv2_predict -d {number} -i {images} -o PREDICTIONS -c {configuration} -f 0",
    ]
