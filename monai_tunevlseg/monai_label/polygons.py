"""Polygons around the masks of a label map, for clients that draw outlines instead of label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from monailabel.utils.others.label_colors import get_color

__all__ = ["LabeledPolygons", "as_annotations", "trace_polygons"]


@dataclass(frozen=True)
class LabeledPolygons:
    """The outlines of one text's mask.

    Attributes:
        label: the text.
        polygons: outlines, each a list of at least three points [x, y], which are the indices of pixels.
    """

    label: str
    polygons: list[list[list[int]]]

    @property
    def color(self) -> list[int]:
        """Red, green and blue, 0..255; the same for a text as long as the server runs."""
        color: list[int] = get_color(self.label, {})
        return color


def trace_polygons(labels: np.ndarray, texts: Sequence[str], min_area: float = 0) -> list[LabeledPolygons]:
    """Trace the outer outlines of the masks in a picture's label map; clients fill holes.

    Args:
        labels: uint8, (X, Y): k + 1 where text k is.
        texts: the texts.
        min_area: smallest area of a polygon in pixels. Outlines of fewer than three points are always left out.

    Returns:
        the outlines of each text with any.
    """
    traced = []
    for value, text in enumerate(texts, start=1):
        mask = (labels == value).T.astype(np.uint8, order="C")
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        drawn = [line[:, 0].tolist() for line in outlines if len(line) > 2 and cv2.contourArea(line) >= min_area]
        if drawn:
            traced.append(LabeledPolygons(text, drawn))
    return traced


def as_annotations(traced: Sequence[LabeledPolygons], shape: Sequence[int]) -> list[dict[str, Any]]:
    """Return outlines in the form of MONAI Label's ``FindContoursd``, which CVAT's detector reads.

    Args:
        traced: the outlines.
        shape: the image's, x first.
    """
    elements = [{"label": each.label, "contours": each.polygons} for each in traced]
    colors = {each.label: each.color for each in traced}
    whole = {"location": [0, 0], "size": list(shape)}
    return [{"annotation": {**whole, "elements": elements, "labels": colors}}]
