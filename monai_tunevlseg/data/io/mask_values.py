"""Interpretation of the values that a mask file stores: as a label map, or as the binary mask of one class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_tunevlseg.data.io.pictures import StoredMask

__all__ = ["distinct_values", "to_binary_mask", "to_label_map"]

ROUNDING = 1e-3
"""Largest distance of a floating-point label from its integer."""
HALF_RANGE = 128  # half of the 8-bit range: separates JPEG's noise around 0 from that around 255


def to_label_map(mask: StoredMask, path: Path) -> np.ndarray:
    """Interpret a mask as a label map: gray values, or the indices of a palette; messages name `path`.

    Returns:
        integers of the mask's shape.

    Raises:
        ValueError: when the file is a JPEG, codes labels by colors or transparency, or its values are not integers.
    """
    if mask.lossy:
        raise ValueError(f"{path} is a JPEG, which cannot keep label values; save the mask as PNG.")
    if mask.colored:
        raise ValueError(f"{path} codes its labels by colors; save the mask as a gray or palette PNG of label values.")
    if mask.by_alpha:
        raise ValueError(f"{path} shows its shape by transparency; save the mask as a gray PNG of label values.")
    values = _without_rounding(mask.values)
    if values.dtype.kind != "f":
        return values
    broken = values[(values != np.rint(values)) | ~np.isfinite(values)]
    if broken.size:
        raise ValueError(f"{path} holds the values {_some(np.unique(broken))} instead of integer labels; round them.")
    return values.astype(np.int32)


def to_binary_mask(
    mask: StoredMask, path: Path, label_value: int | None = None, mask_threshold: float | None = None
) -> np.ndarray:
    """Interpret a mask as the binary mask of one class.

    With a `label_value`, the pixels of this value are foreground. Otherwise the mask is binary. A `mask_threshold`
    applies to brightness, with the range of the file's type scaled to 0..255: a 1 of one bit is 255, an index has the
    brightness of its palette color, and a color has that of its brightest channel. The voxels of volumes are compared
    unchanged. Without a `mask_threshold`, gray JPEG masks are split at half of their range, and all other masks must
    hold only {0, 1}, {0, 255} or {0, the maximum of their type}.

    Index 0 of a palette is background in any color, because it may differ between the files of one dataset.

    Args:
        mask: the stored mask.
        path: the file, for messages.
        label_value: the value of the class; None = the mask is binary.
        mask_threshold: brightness at or above which a binary mask is foreground.

    Returns:
        bool of the mask's shape.

    Raises:
        ValueError: when the values are not as expected; the message names the remedy.
    """
    if label_value is not None:
        return to_label_map(mask, path) == label_value
    if mask.palette is not None:
        return _palette_foreground(mask, mask.palette, path, mask_threshold)
    if mask_threshold is not None:
        return _bright_foreground(mask, path, mask_threshold)
    if mask.colored:
        raise ValueError(
            f"{path} is expected to be binary but codes classes by colors; save the mask of the class as a gray PNG "
            "of 0 and 255 or, where every color is foreground, set mask_threshold to the brightness of the darkest one."
        )
    if mask.lossy:
        return _foreground_of_jpeg(mask.values, path)
    values = _without_rounding(mask.values)
    if not _is_clean(values, mask.white):
        raise ValueError(_not_binary(values, path))
    return values > 0


def _not_binary(values: np.ndarray, path: Path) -> str:
    return (
        f"{path} is expected to be binary ({{0, 1}} or {{0, 255}}) but holds the values "
        f"{_some(distinct_values(values))}; set mask_threshold to the lowest brightness (0..255) that is foreground, "
        "or give label_values."
    )


def _palette_foreground(mask: StoredMask, palette: np.ndarray, path: Path, mask_threshold: float | None) -> np.ndarray:
    """Interpret indices by all colors of the palette, used or not."""
    shades = palette.max(axis=1)
    black_and_white = bool(np.isin(palette, (0, 255)).all() and (palette == shades[:, None]).all())
    if (black_and_white and shades[0] == 255) or (mask_threshold is not None and shades[0] >= mask_threshold):
        raise ValueError(
            f"{path} shows index 0 of its palette, which is background, as bright as foreground; save the mask as a "
            "gray PNG of 0 and 255, or give label_values, which are indices."
        )
    if mask_threshold is not None:
        return shades[mask.values] >= mask_threshold
    if black_and_white:
        return shades[mask.values] > 0
    if not _is_clean(mask.values, 255):
        raise ValueError(_not_binary(mask.values, path))
    return mask.values > 0


def _brightness(mask: StoredMask, path: Path) -> np.ndarray:
    """Return the values that a mask_threshold applies to."""
    values = _without_rounding(mask.values)
    if mask.white == 255:
        return values
    if mask.white is None or (values.dtype.kind == "f" and not values.max() <= mask.white):
        raise ValueError(
            f"{path} holds {mask.values.dtype} values up to {values.max()}, of unknown brightness, so that "
            "mask_threshold does not apply; save the mask with 8 bits, or give label_values."
        )
    return values * np.float32(255 / mask.white)


def _bright_foreground(mask: StoredMask, path: Path, mask_threshold: float) -> np.ndarray:
    brightness = _brightness(mask, path)
    brightest = brightness.max()
    if not np.isfinite(brightest):
        raise ValueError(f"{path} holds values that are not finite; replace them, for example by 0.")
    if not mask.lossy and 0 < brightest <= 1 <= mask_threshold and brightest < mask_threshold:
        raise ValueError(
            f"{path} reaches the brightness {brightest:.3g} of 255, below mask_threshold {mask_threshold}, like masks "
            "that code classes by small numbers; give label_values, or set mask_threshold to null."
        )
    return brightness >= mask_threshold


def _without_rounding(values: np.ndarray) -> np.ndarray:
    """Round floating-point values that almost are integers: a file's slope turns 1 into 0.99999997."""
    if values.dtype.kind != "f":
        return values
    whole = np.rint(values)
    return np.where(np.abs(values - whole) <= ROUNDING, whole, values)


def distinct_values(values: np.ndarray) -> np.ndarray:
    """Return the sorted unique values."""
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535:
        return np.flatnonzero(np.bincount(values.ravel()))  # many times faster than sorting
    return np.unique(values)


def _is_clean(values: np.ndarray, white: float | None) -> bool:
    """Return whether all values are 0 or one of 1, 255 and white; many times faster than finding the unique values."""
    highest = values.max()
    return highest in (0, 1, 255, white) and bool(((values == 0) | (values == highest)).all())


def _foreground_of_jpeg(values: np.ndarray, path: Path) -> np.ndarray:
    brightest = int(values.max())
    if 0 < brightest < HALF_RANGE:
        raise ValueError(
            f"{path} is a JPEG mask whose brightest value is {brightest}, far from 255 for foreground; "
            "set mask_threshold to the lowest brightness (0..255) that is foreground."
        )
    return values >= HALF_RANGE


def _some(values: np.ndarray, most: int = 10) -> str:
    shown = ", ".join(_digits(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def _digits(value: np.generic) -> str:
    """Return the shortest text that parses to the same number."""
    short = f"{value:g}"
    return short if type(value)(short) == value else str(value)
