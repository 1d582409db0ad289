"""The fit of presence to a network's evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from monai_tunevlseg.calibration.calibration import PresenceCalibration
from monai_tunevlseg.calibration.fitting import fit_presence
from monai_tunevlseg.calibration.logit_statistics import LogitStatistics

__all__ = ["fit_evidence"]

INVERSE_PENALTY = 0.1
"""Of the squared weights. On the demo sets, with 48 pairs, 0.01 and 1 predict texts that were never drawn less well."""
SMALLEST_SCALE = 0.05
"""Of the median spread of the evidence: what is nearly constant in few pairs must not decide for other images."""


def fit_evidence(evidence: Tensor, shown: Tensor) -> PresenceCalibration | None:
    """Fit presence to evidence, by logistic regression with an L2 penalty on standardized values.

    Pairs with and without foreground count equally, as for `fit_presence`, which is the fit for evidence that is the
    score alone.

    Args:
        evidence: that of N pairs, (N, D), the network's own score first.
        shown: whether the pairs have foreground, bool (N,).

    Returns:
        the calibration; None where all pairs have foreground, or none has.
    """
    scores = LogitStatistics(1)
    scores.add(0, evidence[:, 0], shown)
    fitted = fit_presence(scores)
    if fitted is None or evidence.shape[1] == 1:
        return fitted
    from sklearn.linear_model import LogisticRegression

    values, truth = evidence.double().numpy(), shown.numpy()
    means, spreads = values.mean(axis=0), values.std(axis=0)
    # equal values of all pairs have no spread, and get no weight
    scales = np.maximum(spreads, SMALLEST_SCALE * np.median(spreads)) + np.finfo(np.float32).tiny
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=1000)
    model.fit((values - means) / scales, truth)
    weights = model.coef_[0] / scales
    bias = float(model.intercept_[0] - weights @ means)
    logits = values @ weights + bias
    losses = np.logaddexp(0, np.where(truth, -logits, logits))
    return replace(
        fitted,
        temperature=1.0,
        bias=bias,
        log_loss=float(losses[truth].mean() + losses[~truth].mean()) / 2,
        weights=tuple(weights.tolist()),
    )
