"""Samples and their digest, the cases that hold them, and splits of cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from monai_tunevlseg.data.sample_masks import mask_paths

__all__ = ["SPLIT_NAMES", "Case", "Sample", "Splits", "digest_samples"]

SPLIT_NAMES = ("train", "val", "test")
Splits: TypeAlias = dict[str, list[str]]
"""The stems of `train`, `val` and `test`."""
Sample: TypeAlias = dict[str, Any]
"""One (image, class) pair as plain JSON.

- `image`: absolute path.
- `label`: absolute path of the mask, a list of paths of masks that are united, or the path of the JSON file with the
  `rle`.
- `class_name`: the class that the mask shows.
- `text`: the network's text input; the class name unless `neutral_text` or `text_source` say otherwise.
- `label_value`: the value of the class in the mask; without it, the mask is binary.
- `mask_threshold`: lowest brightness (0..255] of the foreground of a binary mask (see `mask_values.to_binary_mask`).
- `ignore_value`: pixels of this value in the mask are neither foreground nor background.
- `rle`: {"size": [H, W], "counts": text}, COCO's compressed run-length code of the mask.
- `parts`: the `label`, `label_value`, `mask_threshold`, `ignore_value` and `rle` of each of several masks that are
  united, in place of those of the sample; `map_classes` adds it.
- `slice`, `slice_axis`: index and axis of a slice of an upright volume: sagittal slices (0) are counted from the
  patient's right, coronal slices (1) from the front, axial slices (2) from the top.
- `intensity_window`: the values of the image file that become 0 and 1.
- `group`: the patient or other group that `group_pattern` finds; `build_datalists` adds it.
- `text_set`: texts with the meaning of `text`, from which training draws; `build_datalists` adds it for `text_sets`.
- `compared_texts`: [{"kind", "name", "text"}, ...], whose masks evaluation compares with the mask of the class;
  `build_datalists` adds it for `compared_texts`.
- `texts`: {"p0": text or list of texts, ...}, from which `text_source` chooses; `build_datalists` removes it.
"""


@dataclass(frozen=True)
class Case:
    """One image file, the unit of splits.

    Args:
        stem: its name in splits: the file name without suffix.
        samples: its (image, class) or (slice, class) pairs; empty when it shows no class.
    """

    stem: str
    samples: list[Sample]


def digest_samples(samples: Iterable[Mapping[str, Any]]) -> str:
    """Return 16 hexadecimal digits that depend on the samples, their order, and the names and sizes of their files.

    Folders do not count, so that the digest is the same on every machine.

    Raises:
        FileNotFoundError: when a file does not exist.
    """
    digest = hashlib.sha256()
    for sample in samples:
        files = [Path(sample["image"]), *mask_paths(sample)]
        row = {key: value for key, value in sample.items() if key not in ("image", "label")}
        row["files"] = [(file.name, file.stat().st_size) for file in files]
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]
