"""Samples, the cases that hold them, and splits of cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["SPLIT_NAMES", "Case", "Sample", "Splits"]

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
- `slice`, `slice_axis`: index and axis of a slice of an upright volume: sagittal slices (0) are counted from the
  patient's right, coronal slices (1) from the front, axial slices (2) from the top.
- `intensity_window`: the values of the image file that become 0 and 1.
- `group`: the patient or other group that `group_pattern` finds; `build_datalists` adds it.
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
