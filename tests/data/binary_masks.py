"""Binary masks, read from files in one call."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_tunevlseg.data.io.mask_values import to_binary_mask
from monai_tunevlseg.data.io.reading import read_stored_mask


def read_mask(
    path: Path,
    label_value: int | None = None,
    mask_threshold: float | None = None,
    slice_index: int | None = None,
    slice_axis: int = 2,
) -> np.ndarray:
    return to_binary_mask(read_stored_mask(path, slice_index, slice_axis), path, label_value, mask_threshold)
