"""Every method compared with the best prompt learner or adapter of its dataset."""

from __future__ import annotations

from statistics import stdev

import pytest
from sample_results import write_experiment

from monai_tunevlseg.benchmark import read_results
from monai_tunevlseg.benchmark.method_comparison import compare_with_best
from monai_tunevlseg.benchmark.seed_runs import read_experiment_scores
from monai_tunevlseg.evaluation import holm_adjusted


def compared(folder, metric="dice", problems=None):
    problems = [] if problems is None else problems
    return compare_with_best(
        read_experiment_scores(read_results(folder).experiments, metric, problems), metric, problems
    )


def test_every_method_is_compared_with_the_best_prompt_learner(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90, 70, 60])
    write_experiment(tmp_path, "kvasir/clipseg_coop", [78, 89, 66, 59])
    write_experiment(tmp_path, "kvasir/clipseg_finetune", [90, 99, 80, 70])  # better, but not a prompt learner
    write_experiment(tmp_path, "kvasir/clipseg_vpt-no_upsampler", [99, 99, 99, 99])
    problems = []
    (dataset,) = compared(tmp_path, problems=problems)
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
    (dataset,) = compared(tmp_path)
    assert dataset.best == f"CLIPSeg {title}"
    assert [(method.title, method.comparison.difference) for method in dataset.methods] == [
        ("CLIPSeg VPT", pytest.approx(-2.5)),
        ("CLIPSeg fine-tuned", pytest.approx(7.25)),
    ]


def test_foreground_only(tmp_path):
    write_experiment(tmp_path, "busi/clipseg_vpt", [80, 60, 100], areas=[9, 9, 0])
    write_experiment(tmp_path, "busi/clipseg_coop", [70, 60, 0], areas=[9, 9, 0])
    (dataset,) = compared(tmp_path, "dice_foreground")
    assert dataset.methods[0].comparison.pairs == 2
    assert dataset.methods[0].comparison.difference == pytest.approx(-5)


def test_incomparable_experiments_are_named_and_left_out(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    write_experiment(tmp_path, "kvasir/clipseg_coop", [70, 80], areas=[5, 5])  # other masks
    (write_experiment(tmp_path, "kvasir/cris_coop", [70, 80]) / "pairs.csv").unlink()
    write_experiment(tmp_path, "kvasir/clipseg_maple", [75, 85])
    problems = []
    (dataset,) = compared(tmp_path, problems=problems)
    assert [method.title for method in dataset.methods] == ["CLIPSeg MaPLe"]
    named = {problem.place: problem.message for problem in problems}
    assert set(named) == {"kvasir/clipseg_coop", "kvasir/cris_coop/pairs.csv"}
    assert "kvasir/clipseg_vpt" in named["kvasir/clipseg_coop"]


def test_one_method_has_no_comparison(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    assert compared(tmp_path) == []


def write_seeds(folder, name, images, shifts, **more):
    """Write a run for each seed, whose scores are moved by a shift, and in the images by its number."""
    for seed, shift in enumerate(shifts):
        dices = [dice + shift + (number * (seed + 1)) % 3 for number, dice in enumerate(images)]
        write_experiment(folder, f"{name}-seed{seed}", dices, **more)


IMAGES = [50.0, 55, 62, 68, 71, 60, 66, 58]


def test_seeds_are_compared_by_seed_and_corrected_for_their_number(tmp_path):
    write_seeds(tmp_path, "kvasir/clipseg_vpt", IMAGES, [5, 9, 7])
    write_seeds(tmp_path, "kvasir/clipseg_coop", IMAGES, [0, 5, 1.5])
    write_seeds(tmp_path, "kvasir/clipseg_maple", IMAGES, [6, 4, 8])
    write_experiment(tmp_path, "kvasir/clipseg_zero_shot", [30 + dice / 10 for dice in IMAGES])
    (dataset,) = compared(tmp_path)
    assert dataset.best == "CLIPSeg VPT" and dataset.seeded
    found = {method.title: method for method in dataset.methods}
    coop = found["CLIPSeg CoOp"].comparison
    assert coop.difference == pytest.approx(-29 / 6)  # the mean of -5, -4 and -5.5
    assert (coop.runs_a, coop.runs_b) == (3, 3) and coop.std_b == pytest.approx(stdev([0.875, 6, 1.5]))
    assert coop.interval[0] < -29 / 6 < coop.interval[1] < 0
    assert found["CLIPSeg zero-shot"].comparison.runs_b == 1
    uncorrected = [method.comparison.p_value_seeds for method in dataset.methods]
    assert all(uncorrected) and [m.adjusted_p_seeds for m in dataset.methods] == holm_adjusted(uncorrected)
    maple = found["CLIPSeg MaPLe"]
    assert maple.comparison.p_value_seeds > 0.1 and maple.adjusted_p_seeds == maple.comparison.p_value_seeds


def test_experiments_are_compared_with_the_same_number_of_images(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_zero_shot", [20, 30])
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    for shots, vpt, coop in ((4, [60, 70], [50, 62]), (16, [70, 81], [72, 86])):
        write_experiment(tmp_path, f"kvasir/clipseg_vpt-shots{shots}", vpt)
        write_experiment(tmp_path, f"kvasir/clipseg_coop-shots{shots}", coop)
    found = compared(tmp_path)
    assert [(each.num_shots, each.best, len(each.methods)) for each in found] == [
        (None, "CLIPSeg VPT", 1),
        (4, "CLIPSeg VPT", 2),
        (16, "CLIPSeg CoOp", 2),
    ]


def test_seeds_on_other_images_are_named(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    write_experiment(tmp_path, "kvasir/clipseg_coop-seed0", [80, 90])
    write_experiment(tmp_path, "kvasir/clipseg_coop-seed1", [80, 90, 70])
    problems = []
    assert compared(tmp_path, problems=problems) == []
    assert [problem.place for problem in problems] == ["kvasir/clipseg_coop-seed1/pairs.csv"]
    assert "002.png" in problems[0].message
