"""Pictures of an image with a label map on it."""

from __future__ import annotations

import colorsys

import numpy as np

__all__ = ["class_color", "draw_overlay", "eroded"]

OPACITY = 0.35
FIRST_HUE = 1 / 3  # green, which stands out on flesh and on grey
GOLDEN_RATIO = 0.618034  # steps of this keep any number of hues apart


def class_color(index: int) -> np.ndarray:
    """Return the (3,) RGB color of a class, counted from 0: whole 255ths in [0, 1]."""
    color = np.asarray(colorsys.hsv_to_rgb((FIRST_HUE + index * GOLDEN_RATIO) % 1, 0.9, 1.0))
    return np.rint(color * 255) / 255


def draw_overlay(image: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Tint each class in its color and draw its contour.

    Args:
        image: (H, W, 3) in [0, 1].
        labels: (H, W), 0 = background, k + 1 = class k.
        num_classes: how many classes there are.

    Returns:
        uint8 of shape (H, W, 3).
    """
    picture = image.copy()
    width = max(1, round(min(labels.shape) / 250))
    for index in range(num_classes):
        area = labels == index + 1
        color = class_color(index).astype(picture.dtype)
        picture[area] = (1 - OPACITY) * picture[area] + OPACITY * color
        picture[area & ~eroded(area, width)] = color
    return np.rint(picture * 255).astype(np.uint8)


def eroded(area: np.ndarray, width: int) -> np.ndarray:
    """Take `width` pixels off every side of an area, bool (H, W); what lies at the picture's border keeps that side."""
    inner = area
    for _ in range(width):
        padded = np.pad(inner, 1, mode="edge")
        inner = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inner
