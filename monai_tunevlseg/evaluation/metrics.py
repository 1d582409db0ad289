"""What is measured of each pair, and the metrics whose behavior on empty masks MONAI leaves open."""

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
    """One number of a pair.

    Attributes:
        factor: from MONAI's number to the report's.
        unit: of the report's number.
        area: the column that tells whether the mask has foreground, at the resolution that is measured.
        needs_both: only defined where neither mask nor prediction is empty.
    """

    factor: float
    unit: str
    area: str
    needs_both: bool = False


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
"""`dice` and `iou` at the model's resolution, the others at the image's own. The metrics of an evaluator that have
these names are what its report shows."""


class Hausdorff95(HausdorffDistanceMetric):
    """95th percentile of the Hausdorff distance, in pixels; NaN, which MONAI's means leave out, without two contours.

    Where mask or prediction is empty there is no distance, and none that one could make up (MONAI's infinity, the
    picture's diagonal) can be averaged. A mean over what remains flatters a model that predicts nothing where it is
    hard; read it with the number of pairs that it is over.
    """

    def __init__(self) -> None:
        super().__init__(include_background=True, percentile=95)

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor, **kwargs: Any) -> torch.Tensor:  # type: ignore[override]
        """Return (1, 1) for masks (1, 1, H, W)."""
        if not (y_pred.any() and y.any()):
            return torch.full(y.shape[:2], float("nan"), device=y.device)
        return super()._compute_tensor(y_pred, y, **kwargs)


class SurfaceDice(SurfaceDiceMetric):
    """Share of the two contours that lies within a tolerance of the other; 1 when both masks are empty, like Dice.

    Args:
        tolerance: in pixels, 0 or more.

    Raises:
        ValueError: when it is negative or no finite number.
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
