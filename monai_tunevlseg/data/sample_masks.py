"""The mask of a sample: a file, the union of several files, a value of a label map, or a run-length code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_tunevlseg.data.io.mask_values import to_binary_mask, to_label_map
from monai_tunevlseg.data.io.reading import read_stored_mask
from monai_tunevlseg.data.io.run_lengths import decode_run_lengths

__all__ = ["IGNORE_INDEX", "MASK_KEYS", "mask_paths", "read_sample_mask", "whole_volume"]

IGNORE_INDEX = 255
"""Value of loaded masks at pixels that are neither foreground nor background."""
MASK_KEYS = ("label", "label_value", "mask_threshold", "ignore_value", "rle")
"""Keys of a sample that say where its mask is, and how it is read."""


def mask_paths(sample: Mapping[Any, Any]) -> list[Path]:
    """List the files of a sample's mask.

    Raises:
        ValueError: when the sample lists no file.
    """
    label = sample["label"]
    paths = [Path(path) for path in ([label] if isinstance(label, str | Path) else label)]
    if not paths:
        raise ValueError(f"the sample of {sample.get('image')} has an empty list of masks; list one or more files.")
    return paths


def read_sample_mask(sample: Mapping[Any, Any], slice_axis: int = 2) -> np.ndarray:
    """Read the mask of a sample.

    Args:
        sample: with the keys of `samples.Sample`.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices, for samples with a `slice` but no `slice_axis`.

    Returns:
        uint8 of shape (H, W), or (S, A, R) for a whole volume, like its image: 0 background, 1 foreground,
        255 ignored.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when a file cannot be decoded, its values are not as expected, or united masks differ in size.
    """
    if sample.get("parts"):
        shared = {key: value for key, value in sample.items() if key not in (*MASK_KEYS, "parts")}
        parts = [{**shared, **part} for part in sample["parts"]]
        return _unite([read_sample_mask(part, slice_axis) for part in parts], [mask_paths(part)[0] for part in parts])
    paths = mask_paths(sample)
    if sample.get("rle") is not None:
        return decode_run_lengths(sample["rle"], paths[0])
    return _unite([_read_one(sample, path, slice_axis) for path in paths], paths)


def whole_volume(sample: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the sample without its slice, which is that of the whole volume."""
    return {key: value for key, value in sample.items() if key not in ("slice", "slice_axis")}


def _read_one(sample: Mapping[Any, Any], path: Path, slice_axis: int) -> np.ndarray:
    image = Path(sample["image"]) if isinstance(sample.get("image"), str | Path) else None
    stored = read_stored_mask(path, sample.get("slice"), sample.get("slice_axis", slice_axis), image)
    mask = to_binary_mask(stored, path, sample.get("label_value"), sample.get("mask_threshold")).astype(np.uint8)
    if sample.get("ignore_value") is not None:
        mask[to_label_map(stored, path) == sample["ignore_value"]] = IGNORE_INDEX
    return mask


def _unite(masks: list[np.ndarray], paths: list[Path]) -> np.ndarray:
    """Unite masks of files: foreground in any is foreground; otherwise, ignored in any is ignored."""
    for path, mask in zip(paths, masks, strict=True):
        if mask.shape != masks[0].shape:
            raise ValueError(
                f"{path} is {mask.shape} but {paths[0]} {masks[0].shape}; masks of an image must have the same size."
            )
    united = masks[0]
    for mask in masks[1:]:
        united = np.where((united == 1) | (mask == 1), np.uint8(1), np.maximum(united, mask))
    return united
