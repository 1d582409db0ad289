"""Submitted labels as a dataset that a bundle trains on."""

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
from PIL import Image

from monai_tunevlseg.data.reading import is_nifti, labels, read_shape, read_stored_mask, suffix_of
from monai_tunevlseg.data.volumes import nifti_affine

__all__ = ["SubmittedLabel", "names_in", "write_dataset"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SubmittedLabel:
    """One annotated image.

    Attributes:
        image: its file.
        label: the label map that was submitted.
        names: what its values mean; empty = the bundle's classes in order.
    """

    image: Path
    label: Path
    names: Mapping[str, int] = field(default_factory=dict)


def names_in(info: Mapping[str, Any]) -> dict[str, int]:
    """Return what a label's values mean, as clients say it: ``label_info`` by viewers, ``label_names`` by inference."""
    entries = [entry for entry in info.get("label_info") or [] if isinstance(entry, dict) and "name" in entry]
    if entries:
        return {str(entry["name"]): int(entry.get("idx", place)) for place, entry in enumerate(entries, start=1)}
    names = info.get("label_names") or (info.get("params") or {}).get("label_names") or {}
    return {str(name): int(value) for name, value in names.items()}


def write_dataset(
    submitted: Iterable[SubmittedLabel], class_names: Sequence[str], folder: Path, val_share: float
) -> dict[str, list[str]]:
    """Write images and masks in the layout ``folder``, with splits by the images' names.

    An image stays in its part when others are added. Labels that cannot be read or show none of the classes' names are
    left out with a warning; an empty label of a picture counts.

    Args:
        submitted: the labels.
        class_names: what is trained; the masks get 1, 2, ... in this order.
        folder: gets ``images``, ``masks`` and ``splits.json``.
        val_share: of the images that validate, between 0 and 1.

    Returns:
        the stems of ``train`` and ``val``; ``test``, which bundles want but nothing here reads, is ``val`` again.

    Raises:
        ValueError: when the share is out of range, or fewer than two labels are left.
    """
    if not 0 < val_share < 1:
        raise ValueError(f"val_split is {val_share}; it must be between 0 and 1.")
    stems = []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for count, item in enumerate(sorted(submitted, key=lambda item: item.image.name)):
        try:
            _write(item, class_names, folder, f"{count:05}")
        except (OSError, ValueError) as error:
            logger.warning("%s is left out: %s", item.label, error)
        else:
            stems.append((f"{count:05}", item.image.name))
    if len(stems) < 2:
        raise ValueError(
            f"training needs 2 or more labelled images, one of them for validation; there are {len(stems)}."
        )
    splits = _split(stems, val_share)
    (folder / "splits.json").write_text(json.dumps(splits), encoding="utf-8")
    return splits


def _write(item: SubmittedLabel, class_names: Sequence[str], folder: Path, stem: str) -> None:
    mask = _mask(item, class_names)
    if mask.shape != (shape := read_shape(item.image)):
        raise ValueError(f"it is {mask.shape}, its image {shape}; a label must have the size of its image.")
    (folder / "images" / f"{stem}{suffix_of(item.image)}").symlink_to(item.image.resolve())
    if is_nifti(item.image):
        nib.save(nib.Nifti1Image(mask, nifti_affine(item.image)), folder / "masks" / f"{stem}.nii.gz")
    else:
        Image.fromarray(mask).save(folder / "masks" / f"{stem}.png")


def _mask(item: SubmittedLabel, class_names: Sequence[str]) -> np.ndarray:
    """Return uint8 with k + 1 where class k is."""
    stored = labels(read_stored_mask(item.label), item.label)
    names = item.names or {name: value for value, name in enumerate(class_names, start=1)}
    if not set(names) & set(class_names):
        raise ValueError(f"it shows {', '.join(names)}, and none of {', '.join(class_names)}.")
    mask = np.zeros(stored.shape, np.uint8)
    for value, name in enumerate(class_names, start=1):
        if name in names:
            # of one name alone the value does not matter: pictures have 255 where others have 1
            mask[stored == names[name] if len(names) > 1 else stored > 0] = value
    return mask


def _split(stems: Sequence[tuple[str, str]], val_share: float) -> dict[str, list[str]]:
    """Draw by the hash of the image's name; at least one image validates, and at least one trains."""
    drawn = sorted((int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 16**8, stem) for stem, name in stems)
    count = sum(number < val_share for number, _ in drawn)
    count = min(max(count, 1), len(drawn) - 1)
    ordered = [stem for _, stem in drawn]
    train, val = sorted(ordered[count:]), sorted(ordered[:count])
    return {"train": train, "val": val, "test": val}
