"""The metrics of a pair, and those of them whose behavior on empty masks differs from MONAI's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric

__all__ = ["PAIR_METRICS", "Hausdorff95", "PairMetric", "SurfaceDice"]


@dataclass(frozen=True)
class PairMetric:
    """Facts about one metric.

    Attributes:
        factor: factor from MONAI's value to the score in the report.
        unit: unit of the score in the report.
        area: column with the area of the mask at the resolution of the metric.
        needs_both: whether the metric is undefined when mask or prediction is empty.
    """

    factor: float
    unit: str
    area: str
    needs_both: bool = False

    @property
    def predicted_area(self) -> str:
        """Column with the area of the prediction at the resolution of the metric."""
        return self.area.replace("label", "predicted")


PAIR_METRICS: Mapping[str, PairMetric] = MappingProxyType(
    {
        "dice": PairMetric(100, "%", "label_pixels"),
        "iou": PairMetric(100, "%", "label_pixels"),
        "dice_original": PairMetric(100, "%", "label_pixels_original"),
        "iou_original": PairMetric(100, "%", "label_pixels_original"),
        "hd95": PairMetric(1, "pixels", "label_pixels_original", needs_both=True),
        "surface_dice": PairMetric(100, "%", "label_pixels_original"),
    }
)
"""Metrics that a report shows, by name: `dice` and `iou` at the model's resolution, the others at the image's own."""


class Hausdorff95(HausdorffDistanceMetric):
    """95th percentile of the Hausdorff distance, in pixels; NaN, which MONAI's means skip, without two contours.

    When mask or prediction is empty, the distance is undefined, and no substitute (MONAI's infinity, the picture's
    diagonal) can be averaged. The mean over the other pairs favors a model that predicts nothing on difficult images:
    read it together with the number of pairs.
    """

    def __init__(self) -> None:
        super().__init__(include_background=True, percentile=95)

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor, **kwargs: Any) -> torch.Tensor:  # type: ignore[override]
        """Return (1, 1) for masks (1, 1, H, W)."""
        if not (y_pred.any() and y.any()):
            return torch.full(y.shape[:2], float("nan"), device=y.device)
        return super()._compute_tensor(y_pred, y, **kwargs)


class SurfaceDice(SurfaceDiceMetric):
    """Share of the two contours within a tolerance of the other contour; 1 when both masks are empty, as for Dice.

    Args:
        tolerance: tolerance in pixels, 0 or more.

    Raises:
        ValueError: when ``tolerance`` is negative or not finite.
    """

    def __init__(self, tolerance: float) -> None:
        if not 0 <= tolerance < float("inf"):
            raise ValueError(f"the tolerance of the surface Dice is {tolerance}; it must be 0 or more pixels.")
        super().__init__(class_thresholds=[tolerance], include_background=True)

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor, **kwargs: Any) -> torch.Tensor:  # type: ignore[override]
        """Return (1, 1) for masks (1, 1, H, W)."""
        if not (y_pred.any() and y.any()):
            value = 0.0 if y_pred.any() or y.any() else 1.0
            return torch.full(y.shape[:2], value, device=y.device)
        return super()._compute_tensor(y_pred, y, **kwargs)
