"""Recipes: overrides of any bundle, in ``configs/recipes``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow
from small_runs import BUNDLES, CONFIGS

from monai_tunevlseg.data.demo_datasets import write_demo_dataset

ROBUST = CONFIGS / "recipes" / "robust.yaml"
EXPERIMENT = CONFIGS / "endoscopy" / "clipseg_coop.yaml"
ABSENT = ["ring", "red circle", "red square", "green circle", "yellow triangle"]
"""Texts that a CoOp trained on polyps alone also segments polyps for."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_demo_dataset("endoscopy", tmp_path_factory.mktemp("data"), num_images=24)


def run(config: str, *overlays: Path, **options) -> None:
    files = [str(path) for path in (BUNDLES / "clipseg_coop" / "configs" / f"{config}.yaml", *overlays)]
    kind = "train" if config == "train" else "infer"
    made = ConfigWorkflow(files, workflow_type=kind, logging_file=False, device="cpu", num_workers=0, **options)
    made.initialize()
    made.run()
    made.finalize()


def scores(folder: Path, data: Path, *overlays: Path) -> tuple[float, float]:
    """Train with the embedded base model, and return Dice and the area that is segmented for absent texts."""
    places = {"bundle_root": str(folder), "dataset_dir": str(data), "precision": "fp32"}
    quick = {"epochs": 15, "effective_batch_size": 4, "batch_size": 4, "augmentation_probability": 0}
    quick |= {"calibrate": False, "feature_cache": "memory", "show_progress": False, "negative_source": ABSENT}
    run("train", EXPERIMENT, *overlays, **places, **quick)
    scored = {"split": "train", "trained_splits": None, "absent_texts": ABSENT}
    run("evaluate", EXPERIMENT, **places, **scored, bootstrap_resamples=9, num_overlays=0, save_masks=False)
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())
    return metrics["dice"], metrics["absent"]["false_positive_area"]


def test_the_robust_recipe_lowers_what_is_segmented_for_absent_texts(data, tmp_path):
    dice, area = scores(tmp_path / "plain", data)
    robust_dice, robust_area = scores(tmp_path / "robust", data, ROBUST)
    assert area > 1  # percent of the image
    assert robust_area < area / 2
    assert robust_dice > 0.6 * dice
