"""From a sample to its mask: one file, the union of several, one value of a label map, or a run-length code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_tunevlseg.data.reading import foreground, labels, read_stored_mask

__all__ = ["IGNORED", "decode_run_lengths", "mask_paths", "read_label", "run_lengths", "whole"]

IGNORED = 255
"""What a loaded mask holds where pixels are neither foreground nor background."""


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


def read_label(sample: Mapping[Any, Any], slice_axis: int = 2) -> np.ndarray:
    """Read the mask of a sample.

    Args:
        sample: with the keys that `cases.Sample` describes.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices, for samples with a `slice` but no `slice_axis`.

    Returns:
        uint8 of shape (H, W), or (S, A, R) for a whole volume, as its image is read: 0 background, 1
        foreground, 255 ignored.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when a file cannot be decoded, its values are not what is expected, or united masks differ in size.
    """
    paths = mask_paths(sample)
    if sample.get("rle") is not None:
        return decode_run_lengths(sample["rle"], paths[0])
    masks = [_read_one(sample, path, slice_axis) for path in paths]
    for path, mask in zip(paths, masks, strict=True):
        if mask.shape != masks[0].shape:
            raise ValueError(
                f"{path} is {mask.shape} but {paths[0]} {masks[0].shape}; masks of one image must have one size."
            )
    return _unite(masks)


def whole(sample: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the sample of the whole volume where it is one of a slice."""
    return {key: value for key, value in sample.items() if key not in ("slice", "slice_axis")}


def decode_run_lengths(rle: Mapping[str, Any], path: Path) -> np.ndarray:
    """Decode COCO's compressed run-length code.

    Args:
        rle: {"size": [H, W], "counts": text}.
        path: the file that it stands in, for messages.

    Returns:
        uint8 of shape (H, W) in {0, 1}.

    Raises:
        ValueError: when the code does not describe H x W pixels.
    """
    from pycocotools import mask as coco

    run_lengths(rle, path)
    return coco.decode({"size": [int(size) for size in rle["size"]], "counts": rle["counts"].encode("ascii")})


def run_lengths(rle: Mapping[str, Any], path: Path) -> list[int]:
    """Read the lengths of the runs, background and foreground in turn, of a code that `decode_run_lengths` decodes.

    Raises:
        ValueError: when they do not cover the picture exactly. (pycocotools does not look: it reads and writes beyond
            the picture where they are too many.)
    """
    try:
        height, width = (int(size) for size in rle["size"])
        if height < 1 or width < 1:
            raise ValueError(f"its size is {height} x {width}")
        return _read_runs(rle["counts"].encode("ascii"), height * width)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} holds a run-length code that cannot be read: {error}; replace the file.") from error


def _read_runs(counts: bytes, pixels: int) -> list[int]:
    """Undo the code.

    A run is a number in groups of 5 bits, lowest first, each in a character from 48 on; the sixth bit announces
    another group, the fifth of the last group is the sign; from the fourth on, runs are differences to the last but
    one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = character - 48
        if not 0 <= group < 64:
            raise ValueError(f"{chr(character)!r} is no character of such a code")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift or sum(runs) != pixels or min(runs, default=0) < 0:
        raise ValueError(f"its runs cover {sum(runs)} pixels where the picture has {pixels}")
    return runs


def _read_one(sample: Mapping[Any, Any], path: Path, slice_axis: int) -> np.ndarray:
    image = Path(sample["image"]) if isinstance(sample.get("image"), str | Path) else None
    stored = read_stored_mask(path, sample.get("slice"), sample.get("slice_axis", slice_axis), image)
    mask = foreground(stored, path, sample.get("label_value"), sample.get("mask_threshold")).astype(np.uint8)
    if sample.get("ignore_value") is not None:
        mask[labels(stored, path) == sample["ignore_value"]] = IGNORED
    return mask


def _unite(masks: list[np.ndarray]) -> np.ndarray:
    """Unite: foreground in one is foreground; what no mask shows and one leaves open is left open."""
    united = masks[0]
    for mask in masks[1:]:
        united = np.where((united == 1) | (mask == 1), np.uint8(1), np.maximum(united, mask))
    return united
