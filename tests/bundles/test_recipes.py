"""Recipes: overrides of any bundle, in ``configs/recipes``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow
from small_runs import BUNDLES, CONFIGS, raises_inside

from monai_tunevlseg.data.demo_datasets import write_demo_dataset

ROBUST = CONFIGS / "recipes" / "robust.yaml"
EXPERIMENT = CONFIGS / "endoscopy" / "clipseg_coop.yaml"
ABSENT = ["red circle", "blue object", "green square", "yellow triangle"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_demo_dataset("endoscopy", tmp_path_factory.mktemp("data"), num_images=24)


def run(config: str, *overlays: Path, bundle: str = "clipseg_coop", **options) -> None:
    files = [str(path) for path in (BUNDLES / bundle / "configs" / f"{config}.yaml", *overlays)]
    kind = "train" if config == "train" else "infer"
    made = ConfigWorkflow(files, workflow_type=kind, logging_file=False, device="cpu", num_workers=0, **options)
    made.initialize()
    made.run()
    made.finalize()


def false_positive_rate(folder: Path, data: Path, *overlays: Path, **options) -> float:
    """Train the experiment, and return the percentage of test images with foreground for absent texts, and Dice."""
    places = {"bundle_root": str(folder), "dataset_dir": str(data), "precision": "fp32"}
    quick = {"epochs": 10, "feature_cache": "memory", "num_views": 2, "calibrate": False, "show_progress": False}
    run("train", EXPERIMENT, *overlays, **places, **quick, **options)
    run("evaluate", EXPERIMENT, **places, absent_texts=ABSENT, bootstrap_resamples=9, num_overlays=0, save_masks=False)
    return json.loads((folder / "eval" / "metrics.json").read_text())["absent"]["false_positive_rate"]


def test_the_robust_recipe_leaves_more_masks_of_absent_texts_empty(data, tmp_path):
    plain = false_positive_rate(tmp_path / "plain", data)
    robust = false_positive_rate(tmp_path / "robust", data, ROBUST, negative_source=ABSENT)
    assert robust < plain / 2


def test_a_recipe_for_texts_is_refused_by_a_network_without_them(tmp_path):
    with raises_inside(ValueError, "negative_texts"):
        run("train", ROBUST, bundle="unet_scratch", bundle_root=str(tmp_path), dataset_dir=str(tmp_path))
