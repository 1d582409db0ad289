"""Every method compared with the best prompt learner or adapter of its dataset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_results import write_experiment

from monai_tunevlseg.benchmark import read_results
from monai_tunevlseg.benchmark.method_comparison import compare_with_best, holm_adjusted


def test_every_method_is_compared_with_the_best_prompt_learner(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90, 70, 60])
    write_experiment(tmp_path, "kvasir/clipseg_coop", [78, 89, 66, 59])
    write_experiment(tmp_path, "kvasir/clipseg_finetune", [90, 99, 80, 70])  # better, but not a prompt learner
    write_experiment(tmp_path, "kvasir/clipseg_vpt-no_upsampler", [99, 99, 99, 99])
    problems = []
    (dataset,) = compare_with_best(read_results(tmp_path).experiments, "dice", problems)
    assert dataset.best == "CLIPSeg VPT" and dataset.score == pytest.approx(75)
    coop, tuned = dataset.methods
    assert tuned.comparison.difference == pytest.approx(39 / 4)
    assert coop.comparison.difference == pytest.approx(-2)
    low, high = coop.comparison.interval
    assert low <= -2 <= high < 0
    assert coop.comparison.p_value == pytest.approx(0.125)  # 2 / 2**4: all four differ in the same direction
    assert coop.adjusted_p == pytest.approx(0.25)
    assert not problems


@pytest.mark.parametrize(("best", "title"), [("vpt-decoder", "VPT + decoder"), ("lora", "LoRA")])
def test_adapters_and_methods_with_the_decoder_are_compared(best, title, tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90, 70, 60])
    write_experiment(tmp_path, f"kvasir/clipseg_{best}", [81, 92, 73, 64])
    write_experiment(tmp_path, "kvasir/clipseg_finetune", [90, 99, 80, 70])
    (dataset,) = compare_with_best(read_results(tmp_path).experiments, "dice", [])
    assert dataset.best == f"CLIPSeg {title}"
    assert [(method.title, method.comparison.difference) for method in dataset.methods] == [
        ("CLIPSeg VPT", pytest.approx(-2.5)),
        ("CLIPSeg fine-tuned", pytest.approx(7.25)),
    ]


def test_foreground_only(tmp_path):
    write_experiment(tmp_path, "busi/clipseg_vpt", [80, 60, 100], areas=[9, 9, 0])
    write_experiment(tmp_path, "busi/clipseg_coop", [70, 60, 0], areas=[9, 9, 0])
    (dataset,) = compare_with_best(read_results(tmp_path).experiments, "dice_foreground", [])
    assert dataset.methods[0].comparison.pairs == 2
    assert dataset.methods[0].comparison.difference == pytest.approx(-5)


def test_incomparable_experiments_are_named_and_left_out(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    write_experiment(tmp_path, "kvasir/clipseg_coop", [70, 80], areas=[5, 5])  # other masks
    (write_experiment(tmp_path, "kvasir/cris_coop", [70, 80]) / "pairs.csv").unlink()
    write_experiment(tmp_path, "kvasir/clipseg_maple", [75, 85])
    problems = []
    (dataset,) = compare_with_best(read_results(tmp_path).experiments, "dice", problems)
    assert [method.title for method in dataset.methods] == ["CLIPSeg MaPLe"]
    named = {problem.place: problem.message for problem in problems}
    assert set(named) == {"kvasir/clipseg_coop", "kvasir/cris_coop/pairs.csv"}
    assert "kvasir/clipseg_vpt" in named["kvasir/clipseg_coop"]


def test_one_method_has_no_comparison(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    assert compare_with_best(read_results(tmp_path).experiments, "dice", []) == []


def test_holm():
    assert holm_adjusted([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm_adjusted([0.5, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p_values):
    corrected = holm_adjusted(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    ranked = sorted(zip(p_values, corrected, strict=True))
    assert [c for _, c in ranked] == sorted(c for _, c in ranked)
