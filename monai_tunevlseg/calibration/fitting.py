"""The fit of temperatures and thresholds to logits and their truth."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from monai_tunevlseg.calibration.calibration import Calibration, ClassCalibration
from monai_tunevlseg.calibration.logit_statistics import CUTS, THRESHOLDS, LogitStatistics, best_threshold
from monai_tunevlseg.messages import shorten

__all__ = ["TEMPERATURES", "fit_calibration"]

logger = logging.getLogger(__name__)

TEMPERATURES = (0.2, 20.0)
"""Range of temperatures. Where logits tell all pixels right, ever lower ones are better; where they tell nothing, ever
higher ones. Below 0.2, the calibrated thresholds would round to 0 and 1."""
HALF = int((THRESHOLDS - 0.5).abs().argmin())


def fit_calibration(statistics: LogitStatistics, class_names: Sequence[str]) -> Calibration:
    """Fit a temperature and a threshold to the logits of each class.

    The temperature minimizes the negative log-likelihood of the pixels (Guo et al., On Calibration of Modern Neural
    Networks, ICML 2017, section 4.2, here for two classes). Each bin of the histograms counts with its mean logit, so
    that the loss is exact up to the curvature within a bin 0.01 wide.

    The threshold is the one of ``THRESHOLDS``, which cut the uncalibrated probability, with the highest mean Dice over
    the pairs, of which two empty masks have 1. It is stored as the calibrated probability at the same place. A
    temperature alone changes no mask.

    Args:
        statistics: the logits of K classes.
        class_names: their names.

    Returns:
        the calibration of all classes whose pixels are not all of one kind; of the others nothing can be learned.
    """
    fitted = {
        name: _fit(statistics, index)
        for index, name in enumerate(class_names)
        if bool((statistics.counts[index].sum(dim=1) > 0).all())
    }
    if left := [name for name in class_names if name not in fitted]:
        logger.warning(
            f"not calibrated: {shorten(map(repr, left))}, because the validation data shows only foreground or none."
        )
    return Calibration(fitted)


def _fit(statistics: LogitStatistics, index: int) -> ClassCalibration:
    counts, sums = (tensor[index].numpy() for tensor in (statistics.counts, statistics.sums))
    means = sums / np.maximum(counts, 1)
    low, high = map(math.log, TEMPERATURES)
    found = minimize_scalar(
        lambda exponent: _log_loss(counts, means, math.exp(exponent)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    temperature, pairs = math.exp(found.x), int(statistics.pairs[index])
    dice = 100 * statistics.dice[index] / pairs
    best = best_threshold(dice)
    return ClassCalibration(
        temperature,
        threshold=1 / (1 + math.exp(-float(CUTS[best]) / temperature)),
        pairs=pairs,
        log_loss=_log_loss(counts, means, temperature),
        log_loss_before=_log_loss(counts, means, 1),
        dice=float(dice[best]),
        dice_before=float(dice[HALF]),
    )


def _log_loss(counts: np.ndarray, means: np.ndarray, temperature: float) -> float:
    """Return the mean negative log-likelihood of pixels by bins (2, BINS) of background and foreground."""
    scaled = means / temperature
    losses = np.logaddexp(0, np.stack([scaled[0], -scaled[1]]))
    return float((counts * losses).sum() / counts.sum())
