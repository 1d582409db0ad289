"""The fit of temperatures, thresholds and the bias of presence to logits and their truth."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from monai_tunevlseg.calibration.calibration import Calibration, ClassCalibration, PresenceCalibration
from monai_tunevlseg.calibration.logit_statistics import CUTS, THRESHOLDS, LogitStatistics, best_threshold
from monai_tunevlseg.messages import shorten

__all__ = ["PRESENCE_TEMPERATURES", "TEMPERATURES", "fit_calibration", "fit_presence"]

logger = logging.getLogger(__name__)

TEMPERATURES = (0.2, 20.0)
"""Range of temperatures. Where logits tell all pixels right, ever lower ones are better; where they tell nothing, ever
higher ones. Below 0.2, the calibrated thresholds would round to 0 and 1."""
PRESENCE_TEMPERATURES = (0.01, 100.0)
"""Range of the temperature of presence; the upper end is that of a score that tells nothing, or the opposite."""
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


def fit_presence(statistics: LogitStatistics) -> PresenceCalibration | None:
    """Fit a temperature and a bias to scores of presence, by logistic regression.

    Pairs with and without foreground count equally, because the number of absent texts is not that of a clinic's, and
    the targets are (n + 1) / (n + 2) and 1 / (n + 2) in place of 1 and 0, so that scores that tell all pairs right have
    a finite temperature (Platt, Probabilistic Outputs for Support Vector Machines, 1999, equation 11).

    Args:
        statistics: the scores of one "class", the presence, whose truth is whether the pair has foreground.

    Returns:
        the calibration; None where all pairs have foreground, or none has.
    """
    counts, sums = statistics.counts[0].numpy(), statistics.sums[0].numpy()
    pairs = counts.sum(axis=1, keepdims=True)  # (2, 1), absent and present
    if pairs.min() == 0:
        return None
    used = counts.any(axis=0)
    scores = (sums / np.maximum(counts, 1))[:, used]
    weights = (counts / (2 * pairs))[:, used]
    targets = np.stack([1 / (pairs[0] + 2), (pairs[1] + 1) / (pairs[1] + 2)])

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        logits = parameters[0] * scores + parameters[1]
        residuals = weights * (expit(logits) - targets)
        gradient = np.array([(residuals * scores).sum(), residuals.sum()])
        return float((weights * (np.logaddexp(0, logits) - targets * logits)).sum()), gradient

    slopes = tuple(1 / temperature for temperature in reversed(PRESENCE_TEMPERATURES))
    found = minimize(
        loss,
        (1.0, 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[slopes, (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000},
    )
    temperature, bias = 1 / float(found.x[0]), float(found.x[1])
    return PresenceCalibration(
        temperature,
        bias,
        present=int(pairs[1, 0]),
        absent=int(pairs[0, 0]),
        log_loss=_log_loss(weights, scores + bias * temperature, temperature),
        log_loss_before=_log_loss(weights, scores, 1),
    )


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
    """Return the mean negative log-likelihood by bins (2, N) of background and foreground, whose counts are weights."""
    scaled = means / temperature
    losses = np.logaddexp(0, np.stack([scaled[0], -scaled[1]]))
    return float((counts * losses).sum() / counts.sum())
