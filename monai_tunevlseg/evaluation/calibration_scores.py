"""How well the probabilities of an evaluation are calibrated, and at which threshold its Dice would be the best.

All is at the model's resolution, without ignored pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from monai.metrics import calibration_binning
from torch import Tensor

from monai_tunevlseg.calibration import THRESHOLDS, best_threshold, dice_at_thresholds
from monai_tunevlseg.evaluation.bootstrap import Bootstrap, Interval

__all__ = ["NUM_BINS", "CalibrationScores"]

NUM_BINS = 20
"""Bins of equal width, as many as MONAI's ``CalibrationErrorMetric`` has by default."""
INTERVALS = ("ece", "brier")
DECIMALS = 4  # because logits are float32, and differ with the size of the batch


@dataclass
class _ClassScores:
    """The pairs of one class: a score of each, and sums over all of them."""

    scores: dict[str, list[float]] = field(default_factory=lambda: {"ece": [], "ace": [], "mce": [], "brier": []})
    clusters: list[str] = field(default_factory=list)
    bins: Tensor = field(default_factory=lambda: torch.zeros(3, NUM_BINS, dtype=torch.float64))
    dice: Tensor = field(default_factory=lambda: torch.zeros(len(THRESHOLDS), dtype=torch.float64))


class CalibrationScores:
    """Collects the calibration errors, the Brier scores and the Dice at all thresholds of (image, text) pairs."""

    def __init__(self) -> None:
        self._classes: dict[str, _ClassScores] = {}

    def add(self, class_name: str, logits: Tensor, truth: Tensor, cluster: str) -> None:
        """Add one pair; without pixels, which all may be ignored, it is left out.

        Args:
            class_name: name of its class.
            logits: logits of the pixels that count, (N,).
            truth: whether they are foreground, bool (N,).
            cluster: the pair's image or patient, for the intervals.
        """
        if not len(logits):
            return
        chance, truth = logits.detach().float().sigmoid().cpu(), truth.cpu()
        means, shares, counts = (
            part[0, 0].double() for part in calibration_binning(chance[None, None], truth[None, None].float(), NUM_BINS)
        )
        of_class = self._classes.setdefault(class_name, _ClassScores())
        errors = _calibration_errors(means, shares, counts)
        brier = (chance.double() - truth.double()).square().mean().item()
        for name, value in zip(of_class.scores, (*errors, brier), strict=True):
            of_class.scores[name].append(value)
        of_class.clusters.append(cluster)
        of_class.bins += torch.stack([counts, (means * counts).nan_to_num(), (shares * counts).nan_to_num()])
        of_class.dice += dice_at_thresholds(logits.detach().cpu().double(), truth)

    def summary(self, bootstrap: Bootstrap) -> dict[str, Any]:
        """Return the scores over all pairs and, in ``classes``, of each class.

        Args:
            bootstrap: settings of the intervals.

        Returns:
            ``pairs``; ``ece``, ``ace`` and ``mce`` in 0..1, the means over the pairs of the expected, average and
            maximum calibration error, each as MONAI's ``CalibrationErrorMetric`` has it for one image; ``brier``, the
            mean over the pairs of the mean squared error of the probability; ``intervals`` of ``ece`` and ``brier``;
            ``oracle_threshold``, the probability with the highest mean Dice over these very pairs, and ``oracle_dice``,
            that Dice in percent; ``reliability``, see :func:`_reliability`, of the pixels of all pairs together.
            ``classes`` is left out of the parts. Empty without pairs.
        """
        if not self._classes:
            return {}
        parts = dict(sorted(self._classes.items()))
        return {
            **_summarize(list(parts.values()), bootstrap),
            "classes": {name: _summarize([part], bootstrap) for name, part in parts.items()},
        }


def _calibration_errors(means: Tensor, shares: Tensor, counts: Tensor) -> tuple[float, float, float]:
    """Return expected, average and maximum calibration error of bins, (NUM_BINS,) each; empty bins are NaN."""
    filled = counts > 0
    gaps, weights = (means - shares).abs()[filled], counts[filled]
    return float((gaps * weights).sum() / weights.sum()), float(gaps.mean()), float(gaps.max())


def _summarize(parts: Sequence[_ClassScores], bootstrap: Bootstrap) -> dict[str, Any]:
    """Summarize the pairs of some classes."""
    names = parts[0].scores
    scores = {name: [value for part in parts for value in part.scores[name]] for name in names}
    clusters = [cluster for part in parts for cluster in part.clusters]
    pairs = len(clusters)
    dice = torch.stack([part.dice for part in parts]).sum(dim=0) / pairs
    best = best_threshold(dice)
    return {
        "pairs": pairs,
        **{name: round(fmean(values), DECIMALS) for name, values in scores.items()},
        "intervals": {name: _rounded_interval(bootstrap.interval(scores[name], clusters)) for name in INTERVALS},
        "oracle_threshold": round(float(THRESHOLDS[best]), DECIMALS),
        "oracle_dice": round(100 * float(dice[best]), DECIMALS),
        "reliability": _reliability(torch.stack([part.bins for part in parts]).sum(dim=0)),
    }


def _reliability(bins: Tensor) -> Mapping[str, Any]:
    """Return the points of a reliability diagram.

    Args:
        bins: pixels, sums of their probabilities and their foreground in each bin, (3, NUM_BINS).

    Returns:
        ``pixels``, ``mean_probability`` and ``foreground_share`` of each bin of equal width in 0..1, None where it is
        empty; ``ece``, the expected calibration error of all these pixels together.
    """
    counts, chances, shown = bins
    means, shares = chances / counts, shown / counts
    expected, _, _ = _calibration_errors(means, shares, counts)
    return {
        "pixels": [int(count) for count in counts],
        "mean_probability": _rounded(means),
        "foreground_share": _rounded(shares),
        "ece": round(expected, DECIMALS),
    }


def _rounded_interval(interval: Interval | None) -> Interval | None:
    return None if interval is None else (round(interval[0], DECIMALS), round(interval[1], DECIMALS))


def _rounded(values: Tensor) -> list[float | None]:
    return [round(value, DECIMALS) if math.isfinite(value) else None for value in values.tolist()]
