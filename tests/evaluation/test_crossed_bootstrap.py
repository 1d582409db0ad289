"""Intervals over seeds and cases, against planted variances and the analysis of variance of textbooks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monai_tunevlseg.evaluation import Bootstrap, crossed_mean

FEW = Bootstrap(resamples=400)


def names(count):
    return [f"{number:03}" for number in range(count)]


def planted(rng, seeds, cases, of_seeds, of_cases, of_both, mean=70.0):
    """Return scores (S, C) with normal effects of these standard deviations."""
    effects = rng.normal(0, of_seeds, (seeds, 1)) + rng.normal(0, of_cases, (1, cases))
    return mean + effects + rng.normal(0, of_both, (seeds, cases))


def mean_squares(scores):
    """Return the mean squares of seeds, cases and both, by the table of a two-way analysis of variance."""
    seeds, cases = scores.shape
    total = ((scores - scores.mean()) ** 2).sum()
    of_seeds = cases * ((scores.mean(axis=1) - scores.mean()) ** 2).sum()
    of_cases = seeds * ((scores.mean(axis=0) - scores.mean()) ** 2).sum()
    rest = total - of_seeds - of_cases
    return of_seeds / (seeds - 1), of_cases / (cases - 1), rest / ((seeds - 1) * (cases - 1))


def test_errors_and_degrees_of_freedom_are_those_of_the_analysis_of_variance():
    scores = planted(np.random.default_rng(0), 4, 30, 2, 8, 3)
    found = crossed_mean([scores], names(30), FEW)
    of_seeds, of_cases, rest = mean_squares(scores)
    assert found.value == pytest.approx(scores.mean())
    assert found.seed_error**2 == pytest.approx(of_seeds / 120)
    assert found.case_error**2 == pytest.approx((of_cases - rest) / 120)
    assert found.standard_error**2 == pytest.approx((of_seeds + of_cases - rest) / 120)  # Hillis (2007)
    expected = (of_seeds + of_cases - rest) ** 2 / (of_seeds**2 / 3 + (of_cases - rest) ** 2 / 29)
    assert found.degrees_of_freedom == pytest.approx(expected)
    assert found.seed_share == pytest.approx(of_seeds / (of_seeds + of_cases - rest))


def test_planted_variances_come_out():
    rng = np.random.default_rng(1)
    found = [crossed_mean([planted(rng, 4, 30, 2, 8, 3)], names(30), Bootstrap(resamples=1)) for _ in range(600)]
    assert np.mean([each.seed_error**2 for each in found]) == pytest.approx((2**2 + 3**2 / 30) / 4, rel=0.15)
    assert np.mean([each.case_error**2 for each in found]) == pytest.approx(8**2 / 30, rel=0.1)


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize(
    "deviations", [(0, 10, 5), (2, 10, 5), (2, 0.1, 0.1), (0, 0, 10)], ids=["cases", "all", "seeds", "joint"]
)
def test_of_many_intervals_95_percent_hold_the_true_mean(seeds, deviations):
    rng = np.random.default_rng(2)
    intervals = [crossed_mean([planted(rng, seeds, 40, *deviations)], names(40), FEW).interval for _ in range(200)]
    assert 0.90 <= np.mean([low <= 70 <= high for low, high in intervals]) <= 0.99


def test_resampled_seeds_alone_hold_the_true_mean_too_rarely():
    """The reason for stretching: the range of three means holds the true one with a probability of 1 - 2 / 2**3."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        means = planted(rng, 3, 40, 2, 0.1, 0.1).mean(axis=1)
        low, high = np.quantile(rng.choice(means, (400, 3)).mean(axis=1), [0.025, 0.975])
        held += low <= 70 <= high
    assert held / 200 < 0.85


def test_with_many_seeds_the_interval_is_that_of_student():
    scores = planted(np.random.default_rng(4), 20, 60, 3, 8, 3)
    found = crossed_mean([scores], names(60), Bootstrap(resamples=4000))
    half = found.standard_error * stats.t.ppf(0.975, found.degrees_of_freedom)
    low, high = found.interval
    assert low == pytest.approx(found.value - half, abs=0.15 * half)
    assert high == pytest.approx(found.value + half, abs=0.15 * half)


def test_without_effects_of_cases_the_test_is_that_of_student_over_the_seeds():
    means = np.array([1.0, 2.5, 0.5, 2.0])
    found = crossed_mean([np.repeat(means[:, None], 6, axis=1)], names(6), FEW)
    assert found.p_value == pytest.approx(stats.ttest_1samp(means, 0).pvalue)
    assert found.seed_share == pytest.approx(1)


def test_pairs_of_one_patient_are_drawn_together():
    scores = planted(np.random.default_rng(5), 3, 20, 1, 8, 2)
    alone = crossed_mean([scores], names(20), FEW)
    thrice = crossed_mean([np.repeat(scores, 3, axis=1)], np.repeat(names(20), 3).tolist(), FEW)
    assert (thrice.seed_error, thrice.case_error) == pytest.approx((alone.seed_error, alone.case_error))
    assert thrice.interval == pytest.approx(alone.interval, rel=1e-5)


def test_sets_with_different_seeds_add_their_variances():
    rng = np.random.default_rng(6)
    first, second = planted(rng, 3, 30, 1, 8, 2), planted(rng, 4, 30, 3, 8, 2)
    found = crossed_mean([second, -first], names(30), FEW)
    apart = [crossed_mean([scores], names(30), FEW) for scores in (first, second)]
    assert found.value == pytest.approx(second.mean() - first.mean())
    assert found.seed_error**2 == pytest.approx(sum(each.seed_error**2 for each in apart))
    low, high = found.interval
    assert low < found.value < high


def test_single_runs_have_the_bootstrap_over_cases():
    scores = planted(np.random.default_rng(7), 1, 30, 0, 8, 2)
    found = crossed_mean([scores], names(30), FEW)
    assert found.interval == FEW.interval(scores[0].tolist(), names(30))
    assert found.seed_error == 0 and found.case_error == pytest.approx(stats.sem(scores[0]))


@pytest.mark.parametrize("scores", [np.full((3, 5), 70.0), np.full((3, 5), 0.1)])
def test_equal_scores_have_no_interval(scores):
    found = crossed_mean([scores], names(5), FEW)
    assert found.interval is None and found.p_value is None


def test_a_single_cluster_has_no_interval():
    assert crossed_mean([np.array([[70.0, 71.0], [60.0, 65.0]])], ["a", "a"], FEW).interval is None


def test_the_interval_depends_on_the_seed_and_on_nothing_else():
    scores = planted(np.random.default_rng(8), 3, 30, 1, 8, 2)
    first = crossed_mean([scores], names(30), FEW).interval
    assert first == crossed_mean([scores], names(30), FEW).interval
    assert first == pytest.approx(crossed_mean([scores[:, ::-1]], names(30)[::-1], FEW).interval)
    assert first != crossed_mean([scores], names(30), Bootstrap(resamples=400, seed=1)).interval


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 5), st.floats(0.1, 10), st.floats(-50, 50))
def test_interval_and_errors_follow_the_scale_of_the_scores(seed, seeds, factor, shift):
    scores = planted(np.random.default_rng(seed), seeds, 12, 1, 5, 2)
    found = crossed_mean([scores], names(12), FEW)
    scaled = crossed_mean([factor * scores + shift], names(12), FEW)
    assert scaled.interval == pytest.approx([factor * end + shift for end in found.interval], rel=1e-4, abs=1e-3)
    assert scaled.standard_error == pytest.approx(factor * found.standard_error)
