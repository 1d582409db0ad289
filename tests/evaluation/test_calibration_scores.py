"""Calibration errors by hand and by MONAI's metric."""

import pytest
import torch
from monai.metrics import CalibrationErrorMetric

from monai_tunevlseg.evaluation import Bootstrap, CalibrationScores

BOOTSTRAP = Bootstrap(resamples=200)


def add(scores, chances, truth, name="polyp", cluster="image"):
    scores.add(name, torch.logit(torch.tensor(chances, dtype=torch.float64)), torch.tensor(truth), cluster)


def test_errors_and_brier_score_by_hand():
    scores = CalibrationScores()
    # three bins of 0.05: [0.10, 0.15) with 2 pixels, [0.60, 0.65) with 1, [0.90, 0.95) with 1
    add(scores, [0.11, 0.13, 0.62, 0.92], [True, False, True, False])
    found = scores.summary(BOOTSTRAP)
    gaps = [abs(0.12 - 0.5), abs(0.62 - 1), abs(0.92 - 0)]
    assert found["ece"] == pytest.approx((2 * gaps[0] + gaps[1] + gaps[2]) / 4, abs=1e-4)
    assert found["ace"] == pytest.approx(sum(gaps) / 3, abs=1e-4)
    assert found["mce"] == pytest.approx(0.92, abs=1e-4)
    assert found["brier"] == pytest.approx((0.89**2 + 0.13**2 + 0.38**2 + 0.92**2) / 4, abs=1e-4)
    diagram = found["reliability"]
    assert [diagram["pixels"][number] for number in (2, 12, 18)] == [2, 1, 1] and sum(diagram["pixels"]) == 4
    assert diagram["mean_probability"][2] == pytest.approx(0.12, abs=1e-4)
    assert diagram["foreground_share"][2] == 0.5
    assert diagram["foreground_share"][0] is diagram["mean_probability"][0] is None
    assert diagram["ece"] == pytest.approx(found["ece"], abs=1e-4)  # of the only pair
    # the foreground is at 0.11 and 0.62, the background at 0.13 and 0.92: nothing beats all four pixels
    assert found["oracle_threshold"] == 0.1
    assert found["oracle_dice"] == pytest.approx(100 * 2 * 2 / (4 + 2), abs=1e-4)


def test_means_over_pairs_are_those_of_monais_metric():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 1, 20, 30, generator=generator)
    truth = torch.rand(6, 1, 20, 30, generator=generator) < (logits / 2).sigmoid()
    scores = CalibrationScores()
    for number in range(6):
        scores.add("odd" if number % 2 else "even", logits[number].flatten(), truth[number].flatten(), str(number))
    found = scores.summary(BOOTSTRAP)
    for name, reduction in (("ece", "expected"), ("ace", "average"), ("mce", "maximum")):
        for part, chosen in ((found, slice(None)), (found["classes"]["odd"], slice(1, None, 2))):
            metric = CalibrationErrorMetric(calibration_reduction=reduction)
            metric(logits[chosen].sigmoid(), truth[chosen].float())
            assert part[name] == pytest.approx(metric.aggregate().item(), abs=1e-4)
    metric = CalibrationErrorMetric()
    metric(logits.sigmoid().flatten()[None, None], truth.float().flatten()[None, None])
    assert found["reliability"]["ece"] == pytest.approx(metric.aggregate().item(), abs=1e-4)
    assert (found["pairs"], found["classes"]["even"]["pairs"]) == (6, 3)


def test_intervals_are_those_of_the_pairs_of_each_image():
    scores = CalibrationScores()
    briers = []
    for number, chance in enumerate((0.1, 0.2, 0.35, 0.4, 0.3, 0.15)):
        add(scores, [chance] * 4, [False] * 4, cluster=f"image{number // 2}")
        briers.append(chance**2)
    found = scores.summary(BOOTSTRAP)
    clusters = ["image0", "image0", "image1", "image1", "image2", "image2"]
    assert found["intervals"]["brier"] == pytest.approx(BOOTSTRAP.interval(briers, clusters), abs=1e-4)
    assert found["intervals"]["ece"] == pytest.approx(
        BOOTSTRAP.interval([brier**0.5 for brier in briers], clusters), abs=1e-4
    )
    assert found["classes"]["polyp"]["intervals"] == found["intervals"]


def test_the_oracle_threshold_is_the_best_of_all_pairs():
    scores = CalibrationScores()
    add(scores, [0.305, 0.255, 0.1], [True, True, False])
    add(scores, [0.305, 0.205, 0.1], [True, False, False], name="lesion")
    found = scores.summary(BOOTSTRAP)
    assert (found["classes"]["polyp"]["oracle_threshold"], found["classes"]["polyp"]["oracle_dice"]) == (0.25, 100)
    assert (found["classes"]["lesion"]["oracle_threshold"], found["classes"]["lesion"]["oracle_dice"]) == (0.3, 100)
    assert (found["oracle_threshold"], found["oracle_dice"]) == (0.25, 100)


def test_a_perfect_calibration_has_no_error():
    scores = CalibrationScores()
    add(scores, [0.25] * 4 + [0.75] * 4, [True, False, False, False, True, True, True, False])
    found = scores.summary(BOOTSTRAP)
    assert found["ece"] == found["ace"] == found["mce"] == pytest.approx(0, abs=1e-4)
    assert found["brier"] == pytest.approx(0.1875, abs=1e-4)


def test_without_counted_pixels_nothing_is_summarized():
    scores = CalibrationScores()
    add(scores, [], [])
    assert scores.summary(BOOTSTRAP) == {}
