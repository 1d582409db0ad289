"""Temperatures and thresholds of logits whose best ones are known."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn.functional import binary_cross_entropy_with_logits

from monai_tunevlseg.calibration import (
    THRESHOLDS,
    Calibration,
    LogitStatistics,
    best_threshold,
    dice_at_thresholds,
    fit_calibration,
)


def drawn(temperature, pixels=200_000, seed=0):
    """Logits whose sigmoid is the probability of foreground once they are divided by the temperature."""
    generator = torch.Generator().manual_seed(seed)
    true = 2 * torch.randn(pixels, generator=generator, dtype=torch.float64) - 1
    truth = torch.rand(pixels, generator=generator, dtype=torch.float64) < true.sigmoid()
    return (true * temperature).float(), truth


def fitted(*pairs, names=("polyp",)):
    statistics = LogitStatistics(len(names))
    for index, logits, truth in pairs:
        statistics.add(index, logits, truth)
    return fit_calibration(statistics, names)


@pytest.mark.parametrize("planted", [0.25, 0.7, 1, 1.6, 4])
def test_a_planted_temperature_is_recovered(planted):
    logits, truth = drawn(planted)
    found = fitted((0, logits, truth)).classes["polyp"]
    assert found.temperature == pytest.approx(planted, rel=0.02)
    assert found.log_loss <= found.log_loss_before


def test_the_temperature_minimizes_the_exact_log_loss_also_of_large_logits():
    logits, truth = drawn(9)  # many at a calibrated probability near 0
    assert (logits.abs() > 20).float().mean() > 0.2

    def loss(temperature):
        return binary_cross_entropy_with_logits(logits.double() / temperature, truth.double()).item()

    exact = minimize_scalar(loss, bounds=(1, 20), method="bounded")
    found = fitted((0, logits, truth)).classes["polyp"]
    assert found.temperature == pytest.approx(exact.x, rel=0.02)
    assert found.log_loss == pytest.approx(exact.fun, rel=1e-3)
    narrow, _ = drawn(1)
    found = fitted((0, narrow, truth)).classes["polyp"]
    before = binary_cross_entropy_with_logits(narrow.double(), truth.double()).item()
    assert found.log_loss_before == pytest.approx(before, abs=1e-6)


def test_each_class_has_a_temperature_of_its_own():
    found = fitted((1, *drawn(3)), (0, *drawn(0.5)), names=("polyp", "lesion")).classes
    assert [found[name].temperature for name in ("polyp", "lesion")] == pytest.approx([0.5, 3], rel=0.02)
    assert [found[name].pairs for name in found] == [1, 1]


def dice(prediction, truth):
    size = prediction.sum() + truth.sum()
    return 2 * (prediction & truth).sum() / size if size else 1.0


def test_the_threshold_is_that_of_brute_force():
    generator = np.random.default_rng(3)
    pairs = []
    for shift in (-2, -1.5, 0.3, -3):
        logits = generator.normal(shift, 2, 500).astype(np.float32)
        pairs.append((logits, generator.random(500) < 1 / (1 + np.exp(-1 - logits))))
    pairs.append((np.full(500, -3, np.float32), np.zeros(500, bool)))  # both empty above 0.05
    chances = [(1 / (1 + np.exp(-logits.astype(float))), truth) for logits, truth in pairs]
    grid = [number / 100 for number in range(1, 100)]
    means = [np.mean([dice(chance > cut, truth) for chance, truth in chances]) for cut in grid]
    found = fitted(*((0, torch.tensor(logits), torch.tensor(truth)) for logits, truth in pairs)).classes["polyp"]
    assert found.dice == pytest.approx(100 * max(means))
    assert found.dice_before == pytest.approx(100 * means[49])
    assert found.dice > found.dice_before + 1
    chosen = grid[int(np.argmax(means))]
    # the calibrated threshold cuts the same pixels off
    calibration = Calibration({"polyp": found})
    for (logits, _), (chance, _) in zip(pairs, chances, strict=True):
        scaled = calibration.scaled(torch.tensor(logits)[None, None, None], [["polyp"]])
        mask = scaled > calibration.cuts([["polyp"]])[:, :, None, None]
        np.testing.assert_array_equal(mask.flatten().numpy(), chance > chosen)
        np.testing.assert_array_equal((scaled.sigmoid() > found.threshold).flatten().numpy(), chance > chosen)


def test_dice_at_thresholds_by_hand():
    logits = torch.logit(torch.tensor([0.105, 0.305, 0.5, 0.905], dtype=torch.float64))
    found = dice_at_thresholds(logits, torch.tensor([False, True, False, True]))
    values = {round(float(cut), 2): float(score) for cut, score in zip(THRESHOLDS, found, strict=True)}
    assert values[0.1] == pytest.approx(2 * 2 / (4 + 2))
    assert values[0.2] == pytest.approx(2 * 2 / (3 + 2))
    assert values[0.31] == pytest.approx(2 * 1 / (2 + 2))
    assert values[0.5] == pytest.approx(2 * 1 / (1 + 2))  # 0.5 itself is background, as in all masks
    assert values[0.91] == 0
    nothing = dice_at_thresholds(logits[:1], torch.tensor([False]))
    assert [float(nothing[9]), float(nothing[10])] == [0, 1]


def test_of_equally_good_thresholds_the_nearest_to_one_half_is_chosen():
    assert float(THRESHOLDS[best_threshold(torch.ones(99, dtype=torch.float64))]) == 0.5
    two = torch.zeros(99, dtype=torch.float64)
    two[[9, 59]] = 1
    assert float(THRESHOLDS[best_threshold(two)]) == pytest.approx(0.6)


@pytest.mark.parametrize("planted", [0.01, 1000])
def test_a_temperature_at_the_end_of_its_range_still_has_a_threshold(planted):
    logits, truth = drawn(planted, pixels=1000)
    found = fitted((0, logits, truth)).classes["polyp"]
    assert 0 < found.threshold < 1
    calibration = Calibration({"polyp": found})
    scaled = calibration.scaled(logits[None, None, None], [["polyp"]])
    predicted = (scaled > calibration.cuts([["polyp"]])[:, :, None, None]).flatten().numpy()
    assert 100 * dice(predicted, truth.numpy()) == pytest.approx(found.dice, abs=0.5)


@pytest.mark.parametrize("shown", [True, False])
def test_a_class_without_background_or_foreground_is_not_calibrated(shown, caplog):
    logits, truth = drawn(2, pixels=100)
    found = fitted((0, logits, torch.full((100,), shown)), (1, logits, truth), names=("polyp", "lesion"))
    assert list(found.classes) == ["lesion"]
    assert "'polyp'" in caplog.text and "lesion" not in caplog.text


def test_pairs_without_counted_pixels_change_nothing():
    logits, truth = drawn(2, pixels=100)
    assert fitted((0, logits, truth)) == fitted((0, logits, truth), (0, logits[:0], truth[:0]))


def test_the_sums_of_two_processes_are_those_of_one():
    whole, first, second = (LogitStatistics(1) for _ in range(3))
    for number, part in enumerate((first, second, second)):
        logits, truth = drawn(number + 1, pixels=300, seed=number)
        whole.add(0, logits, truth)
        part.add(0, logits, truth)
    for mine, theirs in zip(first.tensors(), second.tensors(), strict=True):
        mine += theirs
    one, other = (fit_calibration(each, ["polyp"]).classes["polyp"] for each in (whole, first))
    assert other.temperature == pytest.approx(one.temperature, rel=1e-5)
    assert other.threshold == pytest.approx(one.threshold, rel=1e-5)
    assert other.pairs == 3


def test_memory_does_not_grow_with_the_number_of_pairs():
    statistics = LogitStatistics(2)
    before = [tensor.shape for tensor in statistics.tensors()]
    for number in range(50):
        statistics.add(number % 2, *drawn(1, pixels=10, seed=number))
    assert [tensor.shape for tensor in statistics.tensors()] == before


def test_other_texts_keep_their_logits_and_a_threshold_of_one_half():
    calibration = fitted((0, *drawn(4)))
    logits = torch.randn(2, 2, 3, 3)
    scaled = calibration.scaled(logits, [["polyp", "car"], ["car", "polyp"]])
    temperature = calibration.classes["polyp"].temperature
    torch.testing.assert_close(scaled[0, 0], logits[0, 0] / temperature)
    torch.testing.assert_close(scaled[1, 1], logits[1, 1] / temperature)
    assert torch.equal(scaled[0, 1], logits[0, 1]) and torch.equal(scaled[1, 0], logits[1, 0])
    cuts = calibration.cuts([["car", "polyp"]])
    assert cuts.shape == (1, 2) and cuts[0, 0] == 0
    assert cuts[0, 1].sigmoid().item() == pytest.approx(calibration.classes["polyp"].threshold)
