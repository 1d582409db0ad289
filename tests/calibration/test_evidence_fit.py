"""Presence as a linear function of a network's evidence."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_tunevlseg.calibration import (
    Calibration,
    LogitStatistics,
    PresenceCalibration,
    fit_evidence,
    fit_presence,
    read_calibration,
    write_calibration,
)
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.segmentation import Segmentation


def drawn(pairs, seed, told=(0.0, 2.0, 0.0, -3.0)):
    """Evidence of pairs, of which some numbers tell whether they are shown; the first one, the score, does not."""
    generator = np.random.default_rng(seed)
    shown = generator.random(pairs) < 0.3
    evidence = generator.normal(size=(pairs, len(told))) * [3, 1, 2, 5] + shown[:, None] * np.array(told)
    return torch.tensor(evidence, dtype=torch.float32), torch.tensor(shown)


def chances(fitted, evidence):
    found = Segmentation(torch.zeros(1, len(evidence), 1, 1), evidence[None, :, 0], evidence[None])
    return Calibration({}, fitted).scaled_presence(found)[0].sigmoid()


def test_the_weights_are_those_of_a_standardized_logistic_regression():
    evidence, shown = drawn(60, seed=0)
    fitted, values = fit_evidence(evidence, shown), evidence.double().numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced")).fit(values, shown)
    expected = model.predict_proba(values)[:, 1]
    np.testing.assert_allclose(chances(fitted, evidence).numpy(), expected, atol=1e-4)
    assert (fitted.present, fitted.absent) == (int(shown.sum()), int((~shown).sum()))
    of_kinds = [-np.log(expected[shown]).mean(), -np.log(1 - expected[~shown]).mean()]
    assert fitted.log_loss == pytest.approx(np.mean(of_kinds), abs=1e-4)


def test_new_pairs_are_told_apart_that_the_score_does_not_tell():
    fitted = fit_evidence(*drawn(400, seed=1))
    evidence, shown = drawn(400, seed=2)
    bayes = norm.cdf(np.hypot(2, 3 / 5) / np.sqrt(2))  # of normal distributions with this distance
    assert roc_auc_score(shown, evidence[:, 0]) == pytest.approx(0.5, abs=0.1)
    assert roc_auc_score(shown, chances(fitted, evidence)) == pytest.approx(bayes, abs=0.04)


def test_both_kinds_of_pairs_count_equally():
    fitted = fit_evidence(*drawn(2000, seed=3))
    evidence, shown = drawn(2000, seed=4)
    present = chances(fitted, evidence)
    found, silent = (present[shown] > 0.5).float().mean().item(), (present[~shown] < 0.5).float().mean().item()
    assert found == pytest.approx(silent, abs=0.05)


def test_evidence_that_is_the_score_alone_is_fitted_like_a_score():
    evidence, shown = drawn(50, seed=5)
    statistics = LogitStatistics(1)
    statistics.add(0, evidence[:, 0], shown)
    assert fit_evidence(evidence[:, :1], shown) == fit_presence(statistics)


def test_values_that_hardly_vary_decide_nothing():
    evidence, shown = drawn(60, seed=6)
    constant = torch.cat([evidence, torch.full((60, 1), 7.0), 1e-6 * shown.float()[:, None]], dim=1)
    fitted = fit_evidence(constant, shown)
    assert fitted.weights[4] == 0 and abs(fitted.weights[5]) < 1
    assert np.isfinite(fitted.bias)


def test_equal_evidence_of_all_pairs_leaves_presence_open():
    shown = torch.arange(8) < 3
    fitted = fit_evidence(torch.ones(8, 3), shown)
    torch.testing.assert_close(chances(fitted, torch.ones(8, 3)), torch.full((8,), 0.5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [True, False])
def test_one_kind_of_pairs_is_not_enough(kind):
    assert fit_evidence(torch.randn(4, 3), torch.full((4,), kind)) is None


def test_the_file_keeps_the_weights(tmp_path):
    checkpoint = tmp_path / "model.pt"
    checkpoint.write_bytes(b"weights")
    fitted = Calibration({}, fit_evidence(*drawn(60, seed=7)))
    write_calibration(checkpoint, fitted, file_digest(checkpoint))
    assert read_calibration(checkpoint) == fitted


@pytest.mark.parametrize("values", [None, 1, 5])
def test_the_evidence_of_another_network_is_refused(values):
    presence = PresenceCalibration(1, 0, 1, 1, 0, 0, weights=(1.0, 2.0, 3.0))
    evidence = None if values is None else torch.zeros(1, 2, values)
    found = Segmentation(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2), evidence)
    with pytest.raises(ValueError, match=f"3 weights.*{values or 0} values"):
        Calibration({}, presence).scaled_presence(found)


def test_a_weight_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match="weight is inf"):
        PresenceCalibration(1, 0, 1, 1, 0, 0, weights=(1.0, float("inf")))
