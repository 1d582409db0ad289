"""Which classes a network confuses: the overlap of its mask for one class with the true mask of another."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import torch

__all__ = ["ClassConfusion"]


class ClassConfusion:
    """Collects the IoU of the mask that a network predicts for each class with the true mask of each class."""

    def __init__(self) -> None:
        self._overlaps: dict[str, dict[str, list[float]]] = {}

    def add(self, predictions: Mapping[str, torch.Tensor], truths: Mapping[str, torch.Tensor]) -> None:
        """Add one image.

        Args:
            predictions: mask in {0, 1} for the text of each class that the network was asked for.
            truths: mask in {0, 1} of each class, of the same shape.
        """
        for shown, truth in truths.items():
            if not truth.any():
                continue
            for asked, prediction in predictions.items():
                common, united = (prediction & truth).sum(), (prediction | truth).sum()
                found = self._overlaps.setdefault(asked, {}).setdefault(shown, [])
                found.append(100 * int(common) / int(united))

    def table(self) -> dict[str, dict[str, dict[str, float | int]]]:
        """Return {asked class: {shown class: {"iou": mean in percent, "images": their number}}}, sorted by name.

        The mean is over the images, or slices, that show the one class and were asked for the other.
        """
        return {
            asked: {
                shown: {"iou": fmean(overlaps[shown]), "images": len(overlaps[shown])} for shown in sorted(overlaps)
            }
            for asked, overlaps in sorted(self._overlaps.items())
        }
