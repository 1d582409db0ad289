"""Planted variances between seeds and between images come out of the report."""

from __future__ import annotations

import numpy as np
import pytest
from sample_results import write_experiment

from monai_tunevlseg.benchmark import read_results
from monai_tunevlseg.benchmark.seed_runs import read_experiment_scores
from monai_tunevlseg.benchmark.seed_spread import build_seed_spread

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(30, 70, 40)


def spread(folder, metric="dice"):
    return build_seed_spread(read_experiment_scores(read_results(folder).experiments, metric, []), metric)


def write_seeds(folder, name, shifts, noise, areas=None):
    rng = np.random.default_rng(1)
    for seed, shift in enumerate(shifts):
        dices = (IMAGES + shift + rng.normal(0, noise, len(IMAGES))).round(4).tolist()
        write_experiment(folder, f"{name}-seed{seed}", dices, areas=areas)


def test_the_seeds_of_a_method_that_depends_on_them_have_most_of_the_variance(tmp_path):
    write_seeds(tmp_path, "kvasir/clipseg_vpt", [-9, 0, 9], 0.1)
    write_seeds(tmp_path, "kvasir/clipseg_coop", [-0.1, 0, 0.1], 0.1)
    write_experiment(tmp_path, "kvasir/clipseg_zero_shot", IMAGES.round(4).tolist())
    (dataset,) = spread(tmp_path)
    vpt, coop = dataset.rows  # zero-shot has no seeds
    assert (vpt.title, vpt.runs, coop.title) == ("CLIPSeg VPT", 3, "CLIPSeg CoOp")
    assert vpt.dice.value == pytest.approx(IMAGES.mean(), abs=0.1)
    assert vpt.dice.std == pytest.approx(9, rel=0.02)
    assert vpt.seed_error == pytest.approx(9 / np.sqrt(3), rel=0.02)
    assert vpt.case_error == pytest.approx(IMAGES.std(ddof=1) / np.sqrt(40), rel=0.02)
    assert vpt.seed_share > 85 and coop.seed_share < 1
    low, high = vpt.dice.interval
    assert high - low > 3 * (coop.dice.interval[1] - coop.dice.interval[0])
    assert low < vpt.dice.value < high


def test_few_images_follow_all_images(tmp_path):
    for name in ("bkai/clipseg_vpt", "kvasir/clipseg_vpt-shots16", "kvasir/clipseg_vpt-shots4", "kvasir/clipseg_vpt"):
        write_seeds(tmp_path, name, [0, 1], 0.1)
    bkai, kvasir = spread(tmp_path)
    assert (bkai.dataset, kvasir.dataset) == ("bkai", "kvasir")
    assert [(shots, len(rows)) for shots, rows in kvasir.by_shots] == [(None, 1), (4, 1), (16, 1)]


def test_pairs_without_foreground_are_left_out_of_such_a_metric(tmp_path):
    write_seeds(tmp_path, "kvasir/clipseg_vpt", [0, 1, 2], 0.1, areas=[9] * 20 + [0] * 20)
    (dataset,) = spread(tmp_path, "dice_foreground")
    assert dataset.rows[0].dice.value == pytest.approx(IMAGES[:20].mean() + 1, abs=0.1)


def test_single_runs_have_no_spread(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    write_experiment(tmp_path, "kvasir/clipseg_coop-seed0", [70, 80])
    assert spread(tmp_path) == []
