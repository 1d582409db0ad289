"""What every part of the data room passes on: samples, cases and splits."""

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
- `label`: absolute path of the mask, a list of paths of masks that are united, or of the JSON file that has the `rle`.
- `class_name`: which class the mask shows.
- `text`: what the network is told to look for; the class name unless `neutral_text` or `text_source` say otherwise.
- `label_value`: the value of the class in the mask; without it, the mask is binary.
- `mask_threshold`: brightness, 0..255, from which on a binary mask is foreground (see `mask_values.to_binary_mask`).
- `ignore_value`: pixels of this value in the mask are neither foreground nor background.
- `rle`: {"size": [H, W], "counts": text}, COCO's compressed run-length code of the mask.
- `slice`, `slice_axis`: which slice of an upright volume: sagittal (0) ones are counted from the patient's right,
  coronal (1) ones from the front, axial (2) ones from the top.
- `intensity_window`: the values of the image file that become 0 and 1.
- `group`: the patient, or what else `group_pattern` finds; `build_datalists` adds it.
- `texts`: {"p0": text or list of texts, ...}, from which `text_source` chooses; `build_datalists` takes it out.
"""


@dataclass(frozen=True)
class Case:
    """One image file, which a split holds or leaves out as a whole.

    Args:
        stem: the name that splits call it by: the file name without suffix.
        samples: its (image, class) pairs, or (slice, class) pairs; none where it shows no class.
    """

    stem: str
    samples: list[Sample]
