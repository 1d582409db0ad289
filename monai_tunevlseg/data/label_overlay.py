"""Drawing of a label map over its image."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

__all__ = ["class_color", "contour", "draw_overlay"]

OPACITY = 0.35
FIRST_HUE = 1 / 3  # green, which stands out against flesh and gray
GOLDEN_RATIO = 0.618034  # steps of this size keep any number of hues apart


def class_color(index: int) -> np.ndarray:
    """Return the RGB color of class `index`, from 0: (3,) in [0, 1], multiples of 1/255."""
    color = np.asarray(colorsys.hsv_to_rgb((FIRST_HUE + index * GOLDEN_RATIO) % 1, 0.9, 1.0))
    return np.rint(color * 255) / 255


def draw_overlay(image: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Tint each class in its color and draw its contour.

    Args:
        image: (H, W, 3) in [0, 1].
        labels: (H, W), 0 = background, k + 1 = class k.
        num_classes: number of classes.

    Returns:
        uint8 of shape (H, W, 3).
    """
    planes = np.moveaxis(image, -1, 0).copy()  # whole planes are several times faster than the pixels of an area
    width = max(1, round(min(labels.shape) / 250))
    for index in range(num_classes):
        area = labels == index + 1
        edge = contour(area, width)
        for plane, value in zip(planes, class_color(index).astype(planes.dtype), strict=True):
            np.copyto(plane, (1 - OPACITY) * plane + OPACITY * value, where=area)
            np.copyto(plane, value, where=edge)
    return np.moveaxis(np.rint(planes * 255).astype(np.uint8), 0, -1)


def contour(area: np.ndarray, width: int) -> np.ndarray:
    """Return the pixels of an area, bool (H, W), within `width` of its edge; the picture's border is not an edge."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return area & ~cv2.erode(area.astype(np.uint8), cross, iterations=width).astype(bool)
