"""ID, OOD and their harmonic mean, against other computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.evaluation import Bootstrap, PairScores
from monai_tunevlseg.transfer import summarize_transfer

QUICK = Bootstrap(200)


def pairs(*scores, empty=(), group=None):
    return [
        PairScores(f"{number}.png", None, "x", "x", group, dice=score, label_pixels=0 if number in empty else 9)
        for number, score in enumerate(scores)
    ]


def test_means_by_hand():
    found = summarize_transfer(pairs(80.0, 60.0), [pairs(50.0), pairs(20.0, 40.0, 30.0)], "dice", QUICK)
    assert (found.id, found.ood) == (70, 40)
    assert found.harmonic_mean == pytest.approx(2 * 70 * 40 / 110)
    nothing = summarize_transfer(pairs(80.0, 60.0), [pairs(0.0, 0.0)], "dice", QUICK)
    assert (nothing.ood, nothing.harmonic_mean) == (0, 0)


def test_pairs_with_an_empty_mask_are_left_out_of_the_scores_with_foreground():
    found = summarize_transfer(pairs(80.0, 100.0, empty=[1]), [pairs(10.0, 100.0, empty=[1])], "dice_foreground", QUICK)
    assert (found.id, found.ood) == (80, 10)
    without = summarize_transfer(pairs(80.0), [pairs(100.0, empty=[0])], "dice_foreground", QUICK)
    assert without is None


def test_intervals_are_undefined_for_one_patient_or_equal_scores():
    found = summarize_transfer(pairs(70.0, 80.0), [pairs(50.0, 40.0, group="patient")], "dice", QUICK)
    assert found.id_interval is not None
    assert (found.ood_interval, found.harmonic_mean_interval) == (None, None)
    equal = summarize_transfer(pairs(70.0, 70.0), [pairs(50.0, 50.0)], "dice", QUICK)
    assert (equal.id_interval, equal.ood_interval, equal.harmonic_mean_interval) == (None, None, None)


def test_intervals_agree_with_those_of_evaluation_and_of_a_plain_bootstrap():
    """The datasets are drawn independently; a plain percentile interval of 4000 draws is near that of BCa."""
    rng = np.random.default_rng(0)
    source, targets = rng.normal(80, 8, 60), [rng.normal(60, 10, 80), rng.normal(50, 20, 40)]
    found = summarize_transfer(
        pairs(*source.tolist()), [pairs(*scores.tolist()) for scores in targets], "dice", Bootstrap(4000)
    )
    clusters = [f"{number}.png" for number in range(60)]
    assert found.id_interval == pytest.approx(Bootstrap(4000).interval(source.tolist(), clusters), abs=0.3)
    drawn = [
        np.stack([rng.choice(scores, len(scores)) for _ in range(4000)]).mean(axis=1) for scores in (source, *targets)
    ]
    ood = (drawn[1] + drawn[2]) / 2
    both = 2 * drawn[0] * ood / (drawn[0] + ood)
    assert found.ood_interval == pytest.approx(np.percentile(ood, [2.5, 97.5]), abs=0.35)
    assert found.harmonic_mean_interval == pytest.approx(np.percentile(both, [2.5, 97.5]), abs=0.35)
    assert found.ood_interval[1] < found.id_interval[0]


def test_patients_are_drawn_whole():
    """Pairs of a patient that equal each other carry the information of one."""
    scores = np.random.default_rng(1).uniform(20, 90, 30)
    repeated = [
        PairScores(f"{patient}_{copy}.png", None, "x", "x", f"{patient}", dice=float(score), label_pixels=9)
        for patient, score in enumerate(scores)
        for copy in range(5)
    ]
    single = summarize_transfer(pairs(90.0, 95.0), [pairs(*scores.tolist())], "dice", Bootstrap(2000))
    whole = summarize_transfer(pairs(90.0, 95.0), [repeated], "dice", Bootstrap(2000))
    widths = [found.ood_interval[1] - found.ood_interval[0] for found in (single, whole)]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


percents = st.lists(st.floats(0, 100), min_size=1, max_size=6)


@settings(deadline=None, max_examples=30)
@given(percents, st.lists(percents, min_size=1, max_size=3))
def test_the_harmonic_mean_lies_between_both(source, targets):
    found = summarize_transfer(pairs(*source), [pairs(*scores) for scores in targets], "dice", Bootstrap(20))
    low, high = sorted((found.id, found.ood))
    assert low - 1e-6 <= found.harmonic_mean <= high + 1e-6
    assert found.ood == pytest.approx(np.mean([np.mean(scores) for scores in targets]), abs=1e-6)
    assert summarize_transfer(pairs(*source), [pairs(*s) for s in targets], "dice", Bootstrap(20)) == found
