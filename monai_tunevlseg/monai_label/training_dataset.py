"""Submitted labels as a dataset for a bundle's training."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from monai_tunevlseg.data.io.file_suffixes import suffix_of
from monai_tunevlseg.data.io.mask_values import to_label_map
from monai_tunevlseg.data.io.metaimage import METAIMAGE_SUFFIX
from monai_tunevlseg.data.io.reading import read_shape, read_stored_mask
from monai_tunevlseg.data.io.volumes import open_volume
from monai_tunevlseg.data.io.writing import write_mask

__all__ = ["SubmittedLabel", "check_label", "label_values", "write_training_dataset"]

logger = logging.getLogger(__name__)

MAX_VALUE = 65_535  # label maps have 8 or 16 bits


@dataclass(frozen=True)
class SubmittedLabel:
    """One annotated image.

    Attributes:
        image: file of the image.
        label: file of the label map.
        info: the client's info about the label.
    """

    image: Path
    label: Path
    info: Mapping[str, Any] = field(default_factory=dict)


def label_values(info: Mapping[str, Any]) -> dict[str, int]:
    """Return the value of each class name in a label map.

    Args:
        info: the client's info about the label, with ``label_info`` from viewers or ``label_names`` from inference.

    Returns:
        values by name; empty = 1, 2, ... for the bundle's classes in order.

    Raises:
        ValueError: when the info has another form.
    """
    entries = info.get("label_info") or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(f"label_info is {entries!r:.100}; send a list such as [{{'name': 'polyp', 'idx': 1}}].")
    named = [entry for entry in entries if "name" in entry]
    if named:
        return {_name(entry["name"]): _value(entry.get("idx", place)) for place, entry in enumerate(named, start=1)}
    params = info.get("params") or {}
    if not isinstance(params, Mapping):
        raise ValueError(f"params is {params!r:.100}; send an object.")
    names = info.get("label_names") or params.get("label_names") or {}
    if not isinstance(names, Mapping):
        raise ValueError(f"label_names is {names!r:.100}; send an object such as {{'polyp': 1}}.")
    return {_name(name): _value(value) for name, value in names.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a label has the name {name!r:.100}; send a string.")
    return name


def _value(value: Any) -> int:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1
    if not whole or not 1 <= value <= MAX_VALUE:
        raise ValueError(f"a label has the value {value!r:.100}; send a whole number from 1 to {MAX_VALUE}.")
    return int(value)


def check_label(image: Path, label: Path, info: Mapping[str, Any]) -> None:
    """Check that training can read a label; the arguments are the attributes of `SubmittedLabel`.

    Raises:
        FileNotFoundError: when a file does not exist.
        ValueError: when the label cannot be read as a label map of the image's size, or the info has an unknown form.
    """
    label_values(info)
    _read(image, label)


def write_training_dataset(
    submitted: Iterable[SubmittedLabel], class_names: Sequence[str], folder: Path, val_split: float
) -> dict[str, list[str]]:
    """Write images and masks in the layout ``folder``, split by the names of the images.

    An image stays in its split when others are added. Labels that cannot be read, or that have none of the class names,
    are skipped with a warning; an empty label of a picture counts.

    Args:
        submitted: the labels.
        class_names: the classes; masks have the values 1, 2, ... in this order.
        folder: output folder of ``images``, ``masks`` and ``splits.json``.
        val_split: share of the images for validation, in (0, 1).

    Returns:
        the stems of ``train`` and ``val``. ``test``, which bundles require but this app does not read, equals ``val``.

    Raises:
        ValueError: when ``val_split`` is out of range, or fewer than two labels remain.
    """
    if not 0 < val_split < 1:
        raise ValueError(f"val_split is {val_split}; it must be between 0 and 1.")
    stems: list[tuple[str, str]] = []
    skipped: list[str] = []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for count, item in enumerate(sorted(submitted, key=lambda item: item.image)):
        try:
            _write(item, class_names, folder, f"{count:05}")
        except (OSError, ValueError) as error:
            skipped.append(f"{item.label} is skipped: {error}")
            logger.warning("%s", skipped[-1])
        else:
            stems.append((f"{count:05}", item.image.name))
    if len(stems) < 2:
        problem = f"training needs at least 2 labeled images, one for validation, and has {len(stems)}."
        raise ValueError(" ".join([problem, *skipped[:1]]))
    splits = _split(stems, val_split)
    (folder / "splits.json").write_text(json.dumps(splits), encoding="utf-8")
    return splits


def _write(item: SubmittedLabel, class_names: Sequence[str], folder: Path, stem: str) -> None:
    mask = _mask(item, class_names)
    suffix = suffix_of(item.image)
    if suffix.lower() == METAIMAGE_SUFFIX:  # its voxels are in a second file
        nib.save(open_volume(item.image), folder / "images" / f"{stem}.nii.gz")
    else:
        (folder / "images" / f"{stem}{suffix}").symlink_to(item.image.resolve())
    write_mask(mask, item.image, folder / "masks", stem)


def _mask(item: SubmittedLabel, class_names: Sequence[str]) -> np.ndarray:
    """Return uint8: k + 1 where class k is, 0 elsewhere."""
    stored = _read(item.image, item.label)
    names = label_values(item.info) or {name: value for value, name in enumerate(class_names, start=1)}
    if not set(names) & set(class_names):
        raise ValueError(f"its classes {', '.join(names)} include none of {', '.join(class_names)}.")
    mask = np.zeros(stored.shape, np.uint8)
    for value, name in enumerate(class_names, start=1):
        if name in names:
            # with one name the value does not matter: pictures may have 255 instead of 1
            mask[stored == names[name] if len(names) > 1 else stored > 0] = value
    return mask


def _read(image: Path, label: Path) -> np.ndarray:
    """Return the values of a label, upright as its image is read."""
    values = to_label_map(read_stored_mask(label, like=image), label)
    shape = read_shape(image)
    if values.shape != shape:
        raise ValueError(f"the label has the shape {values.shape}, its image {shape}; the two must be equal.")
    return values


def _split(stems: Sequence[tuple[str, str]], val_split: float) -> dict[str, list[str]]:
    """Split by the hash of the image's name, with at least one image in each split."""
    drawn = sorted((int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 16**8, stem) for stem, name in stems)
    count = sum(number < val_split for number, _ in drawn)
    count = min(max(count, 1), len(drawn) - 1)
    ordered = [stem for _, stem in drawn]
    train, val = sorted(ordered[count:]), sorted(ordered[:count])
    return {"train": train, "val": val, "test": val}
