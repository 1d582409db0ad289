"""The validation metric of a network that is to find its text, and nothing for texts that an image does not show."""

from __future__ import annotations

from monai.metrics import DiceMetric
from torch import Tensor

__all__ = ["ObedientDiceMetric"]


class ObedientDiceMetric(DiceMetric):
    """MONAI's ``DiceMetric`` of each image's own text, lowered by foreground for texts that the image does not show.

    The score of an image is its Dice times (1 + s) / 2, where s is the share of the texts after its own one whose masks
    are empty: all of its Dice where all are, half of it where none is. The mean of Dice and s would choose a network
    that segments nothing at all, as it may at the start of a training, before one that segments its class for any text.
    Without further texts it is the Dice, of which two empty masks have 1.
    """

    def __init__(self) -> None:
        super().__init__(ignore_empty=False)

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """Return the scores (B, 1) of masks (B, 1 + n, H, W) in {0, 1}."""
        scores = super()._compute_tensor(y_pred, y)  # of an empty target 1 for an empty mask, else 0
        own, absent = scores[:, :1], scores[:, 1:]
        return own * (1 + absent.mean(dim=1, keepdim=True)) / 2 if absent.shape[1] else own
