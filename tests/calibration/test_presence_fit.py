"""The temperature and the bias of scores of presence whose best ones are known."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import binary_cross_entropy_with_logits

from monai_tunevlseg.calibration import Calibration, LogitStatistics, PresenceCalibration, fit_presence
from monai_tunevlseg.segmentation import Segmentation


def scored(scores):
    return Segmentation(torch.zeros(*scores.shape, 1, 1), scores)


def fitted(scores, shown):
    statistics = LogitStatistics(1)
    statistics.add(0, torch.as_tensor(scores), torch.as_tensor(shown))
    return fit_presence(statistics)


def drawn(temperature, bias, count=100_000, seed=0):
    """Scores whose logits of presence are ``score / temperature + bias``, in a population with as many of each kind."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, count)  # symmetric, so that half of all texts are present
    return (logits - bias) * temperature, generator.random(count) < 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize(("temperature", "bias"), [(1, 0), (0.5, 2), (3, -1), (8, 0.7)])
def test_a_planted_temperature_and_bias_are_recovered(temperature, bias):
    scores, shown = drawn(temperature, bias)
    found = fitted(scores, shown)
    assert found.temperature == pytest.approx(temperature, rel=0.03)
    assert found.bias == pytest.approx(bias, abs=0.05)
    assert (found.present, found.absent) == (shown.sum(), (~shown).sum())
    assert found.log_loss <= found.log_loss_before + 1e-9


def test_both_kinds_count_equally():
    scores, shown = drawn(2, -1)
    kept = shown | (np.random.default_rng(1).random(len(shown)) < 0.1)  # a tenth of the absent texts
    assert shown[kept].mean() > 0.9
    found = fitted(scores[kept], shown[kept])
    assert (found.temperature, found.bias) == (pytest.approx(2, rel=0.05), pytest.approx(-1, abs=0.1))


def few(seed=3):
    generator = np.random.default_rng(seed)
    shown = np.arange(40) < 10
    return generator.normal(np.where(shown, 2, -1), 2), shown


def test_the_fit_is_that_of_brute_force_and_of_scikit_learn():
    scores, shown = few()
    found = fitted(scores, shown)
    weights = np.where(shown, 1 / 20, 1 / 60)
    targets = np.where(shown, 11 / 12, 1 / 32)

    def loss(slope, bias):
        logits = slope * scores + bias
        return (weights * (np.logaddexp(0, logits) - targets * logits)).sum()

    near = 1 / found.temperature
    steps = np.arange(-50, 51) / 500
    slope, bias = min(itertools.product(near + steps, found.bias + steps), key=lambda pair: loss(*pair))
    assert (near, found.bias) == (pytest.approx(slope, abs=1e-6), pytest.approx(bias, abs=1e-6))
    # a soft target is a share of each kind
    both = LogisticRegression(C=1e9, tol=1e-10).fit(
        np.tile(scores, 2)[:, None], np.repeat([1, 0], 40), np.concatenate([weights * targets, weights * (1 - targets)])
    )
    assert both.coef_[0, 0] == pytest.approx(near, rel=1e-3)
    assert both.intercept_[0] == pytest.approx(found.bias, abs=1e-3)


def test_the_losses_are_those_of_the_probabilities():
    scores, shown = few()
    found = fitted(scores, shown)
    weights = torch.as_tensor(np.where(shown, 1 / 20, 1 / 60))
    raw, truth = torch.as_tensor(scores), torch.as_tensor(shown).double()
    calibrated = Calibration({}, found).scaled_presence(scored(raw[None]))[0].double()
    for logits, loss in ((calibrated, found.log_loss), (raw, found.log_loss_before)):
        exact = binary_cross_entropy_with_logits(logits, truth, weights, reduction="sum")
        assert loss == pytest.approx(exact.item(), abs=1e-6)


def test_scores_that_tell_all_pairs_right_have_a_finite_temperature():
    found = fitted(np.r_[np.full(5, -3.0), np.full(5, 9.0)], np.arange(10) >= 5)
    assert 0.1 < found.temperature < 10
    assert found.bias == pytest.approx(-3 / found.temperature, abs=1e-4)  # the middle has a probability of one half


@pytest.mark.parametrize("direction", [0, -1])
def test_scores_that_tell_nothing_or_the_opposite_leave_presence_open(direction):
    scores, shown = few()
    found = fitted(direction * scores, shown)
    chances = 1 / (1 + np.exp(-(direction * scores / found.temperature + found.bias)))
    assert np.abs(chances - 0.5).max() < 0.1


@pytest.mark.parametrize("kind", [True, False])
def test_one_kind_of_pairs_is_not_enough(kind):
    assert fitted(np.arange(4.0), np.full(4, kind)) is None
    assert fit_presence(LogitStatistics(1)) is None


def test_without_a_fit_presence_stays():
    scores = torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16)
    assert torch.equal(Calibration({}).scaled_presence(scored(scores)), scores.float())
    presence = PresenceCalibration(2, 1, present=1, absent=1, log_loss=0, log_loss_before=0)
    assert torch.equal(Calibration({}, presence).scaled_presence(scored(scores)), torch.tensor([[1.75, 0.0]]))


@pytest.mark.parametrize(("temperature", "bias"), [(0, 0), (math.nan, 0), (1, math.nan), (1, math.inf)])
def test_numbers_out_of_range_are_named(temperature, bias):
    with pytest.raises(ValueError, match="temperature is|bias is"):
        PresenceCalibration(temperature, bias, 1, 1, 0, 0)
