"""What a calibration is fitted to: histograms of logits, and Dice at many thresholds, of any number of images."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["THRESHOLDS", "LogitStatistics", "best_threshold", "dice_at_thresholds"]

THRESHOLDS = torch.arange(1, 100, dtype=torch.float64) / 100
"""Probabilities at which Dice is known, (T,): 0.01, 0.02, ..., 0.99."""
CUTS = torch.logit(THRESHOLDS)
BINS = 16384
LIMIT = 80.0
"""The histograms have bins of equal width from -LIMIT to LIMIT; the first and the last also hold what is beyond."""


class LogitStatistics:
    """Collects the logits of K classes: histograms by truth, and the Dice of each pair at ``THRESHOLDS``.

    All are sums over pairs, so that those of several processes can be added.

    Attributes:
        counts: pixels in each bin, (K, 2, BINS) float64; [:, 0] background, [:, 1] foreground.
        sums: sums of the logits in each bin, as ``counts``.
        dice: sums over the pairs of their Dice in 0..1 at each threshold, (K, T) float64.
        pairs: number of pairs, (K,) float64.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = torch.zeros(num_classes, 2, BINS, dtype=torch.float64)
        self.sums = torch.zeros_like(self.counts)
        self.dice = torch.zeros(num_classes, len(THRESHOLDS), dtype=torch.float64)
        self.pairs = torch.zeros(num_classes, dtype=torch.float64)

    def add(self, index: int, logits: Tensor, truth: Tensor) -> None:
        """Add one pair; without pixels, which all may be ignored, it is left out.

        Args:
            index: number of the pair's class.
            logits: logits of the pixels that count, (N,).
            truth: whether they are foreground, bool (N,).
        """
        if not len(logits):
            return
        logits, truth = logits.detach().cpu().double(), truth.cpu()  # not all devices have float64
        bins = ((logits + LIMIT) * (BINS / (2 * LIMIT))).floor().clamp(0, BINS - 1).long() + BINS * truth.long()
        self.counts[index] += torch.bincount(bins, minlength=2 * BINS).view(2, BINS)
        self.sums[index] += torch.bincount(bins, logits, minlength=2 * BINS).view(2, BINS)
        self.dice[index] += dice_at_thresholds(logits, truth)
        self.pairs[index] += 1

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all sums, to add those of other processes in place."""
        return self.counts, self.sums, self.dice, self.pairs


def dice_at_thresholds(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the Dice of a pair at each threshold of its probabilities, (T,) float64 in 0..1; 1 of two empty masks.

    Args:
        logits: (N,) float64, on the CPU.
        truth: whether the pixels are foreground, bool (N,).
    """
    passed = torch.bucketize(logits, CUTS)  # how many of the cuts each logit is above
    predicted, common = (_above_each_cut(of_pixels) for of_pixels in (passed, passed[truth]))
    size = predicted + truth.sum()
    return torch.where(size > 0, 2 * common / size.clamp(min=1), 1.0)


def best_threshold(dice: Tensor) -> int:
    """Return the index of the threshold with the highest Dice, (T,); of equally good ones, the nearest to 0.5."""
    distance = (THRESHOLDS - 0.5).abs()
    best = (dice >= dice.max() - 1e-12).nonzero().flatten()  # sums in another order round differently
    return int(best[distance[best].argmin()])


def _above_each_cut(passed: Tensor) -> Tensor:
    counts = torch.bincount(passed, minlength=len(CUTS) + 1)
    return counts.flip(0).cumsum(0).flip(0)[1:].double()
