"""Each method against the best of its dataset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_results import write_entry

from monai_tunevlseg.benchmark import read_results
from monai_tunevlseg.benchmark.comparisons import adjusted, compare_with_best


def test_every_other_entry_is_compared_with_the_best_method(tmp_path):
    write_entry(tmp_path, "kvasir/clipseg_vpt", [80, 90, 70, 60])
    write_entry(tmp_path, "kvasir/clipseg_coop", [78, 89, 66, 59])
    write_entry(tmp_path, "kvasir/clipseg_finetune", [90, 99, 80, 70])  # better, but no prompt learner
    write_entry(tmp_path, "kvasir/clipseg_vpt-no_upsampler", [99, 99, 99, 99])
    problems = []
    (contest,) = compare_with_best(read_results(tmp_path).entries, "dice", problems)
    assert contest.best == ("CLIPSeg", "VPT") and contest.score == pytest.approx(75)
    tuned, coop = contest.rivals
    assert tuned.comparison.difference == pytest.approx(39 / 4)
    assert coop.comparison.difference == pytest.approx(-2)
    low, high = coop.comparison.interval
    assert low <= -2 <= high < 0
    assert coop.comparison.p_value == pytest.approx(0.125)  # 2 / 2**4: all four differ in the same direction
    assert coop.adjusted_p == pytest.approx(0.25)
    assert not problems


def test_foreground_alone(tmp_path):
    write_entry(tmp_path, "busi/clipseg_vpt", [80, 60, 100], areas=[9, 9, 0])
    write_entry(tmp_path, "busi/clipseg_coop", [70, 60, 0], areas=[9, 9, 0])
    (contest,) = compare_with_best(read_results(tmp_path).entries, "dice_foreground", [])
    assert contest.rivals[0].comparison.pairs == 2
    assert contest.rivals[0].comparison.difference == pytest.approx(-5)


def test_what_cannot_be_compared_is_named_and_the_rest_goes_on(tmp_path):
    write_entry(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    write_entry(tmp_path, "kvasir/clipseg_coop", [70, 80], areas=[5, 5])  # other masks
    (write_entry(tmp_path, "kvasir/cris_coop", [70, 80]) / "cases.csv").unlink()
    write_entry(tmp_path, "kvasir/clipseg_maple", [75, 85])
    problems = []
    (contest,) = compare_with_best(read_results(tmp_path).entries, "dice", problems)
    assert [rival.title[1] for rival in contest.rivals] == ["MaPLe"]
    named = {problem.place: problem.message for problem in problems}
    assert set(named) == {"kvasir/clipseg_coop", "kvasir/cris_coop/cases.csv"}
    assert "masks of another area" in named["kvasir/clipseg_coop"]


def test_one_method_has_no_rival(tmp_path):
    write_entry(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    assert compare_with_best(read_results(tmp_path).entries, "dice", []) == []


def test_holm():
    assert adjusted([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert adjusted([0.5, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p_values):
    corrected = adjusted(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    ranked = sorted(zip(p_values, corrected, strict=True))
    assert [c for _, c in ranked] == sorted(c for _, c in ranked)
