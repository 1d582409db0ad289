"""Runs as they lie on the disk: trainings, searches, benchmarks and shared bundles, complete or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_transfers import BUNDLES, REPOSITORY

from monai_tunevlseg.sharing import Release, Sources, build_bundle_spec, write_shared_bundle
from monai_tunevlseg.transfer import find_run_folder, read_source_run


@pytest.fixture
def run_dir(clipseg_run, tmp_path) -> Path:
    """A copy of the run of the tiny CLIPSeg, which a test may change."""
    return shutil.copytree(clipseg_run, tmp_path / "run")


def change_record(run_dir, **values):
    path = run_dir / "models" / "hyperparameters.json"
    record = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in record.items() if value is not None}))


def test_a_training_names_its_network_and_dataset(clipseg_run, domains, tiny_clipseg_dir):
    run = read_source_run(clipseg_run, BUNDLES)
    assert run.config == BUNDLES / "clipseg_vpt" / "configs" / "evaluate.yaml"
    assert (run.options["method"], run.options["prompt_depth"], run.options["pretrained"]) == (
        *("vpt", 2),
        str(tiny_clipseg_dir),
    )
    assert (run.dataset, run.spec.folder, list(run.spec.class_names)) == ("dark", domains["dark"], ["lesion"])
    assert run.trained_splits == clipseg_run / "eval" / "splits.json"
    assert run.texts == {"lesion": "lesion"} and run.reads_text


@pytest.mark.parametrize("place", ["best", "search/best"])
def test_the_best_trial_of_a_search_is_found(run_dir, tmp_path, place):
    shutil.copytree(run_dir / "models", tmp_path / "search_of_it" / place / "models")
    assert find_run_folder(tmp_path / "search_of_it") == tmp_path / "search_of_it" / place


def test_configs_of_the_run_come_before_those_of_the_package(run_dir):
    shutil.copytree(BUNDLES / "clipseg_vpt" / "configs", run_dir / "configs")
    assert read_source_run(run_dir, BUNDLES / "nowhere").config == run_dir / "configs" / "evaluate.yaml"


def test_a_shared_bundle_needs_the_folder_of_its_dataset(tmp_path, domains):
    sources = Sources(configs_dir=REPOSITORY / "configs")
    bundle = write_shared_bundle(
        build_bundle_spec("ultrasound/clipseg_vpt", None, sources), tmp_path, REPOSITORY / "configs", Release()
    )
    with pytest.raises(FileNotFoundError, match=r"ultrasound_lesion_clipseg_vpt.*--source-dir DIR"):
        read_source_run(bundle, BUNDLES)
    run = read_source_run(bundle, BUNDLES, dataset_dir=domains["dark"])
    assert run.config == bundle / "configs" / "evaluate.yaml"
    assert (run.spec.folder, list(run.spec.class_names), run.trained_splits) == (domains["dark"], ["lesion"], None)


def test_a_public_dataset_that_has_moved_is_found_among_the_targets(run_dir, tmp_path, domains):
    change_record(run_dir, layout="kvasir", class_names=["polyp"], dataset_dir=str(tmp_path / "moved"))
    with pytest.raises(FileNotFoundError, match=r"moved.*--on kvasir=DIR"):
        read_source_run(run_dir, BUNDLES)
    run = read_source_run(run_dir, BUNDLES, known_dirs={"kvasir": domains["dark"]})
    assert (run.dataset, run.spec.folder) == ("kvasir", domains["dark"])


def test_a_neutral_text_stands_for_each_class(run_dir):
    change_record(run_dir, class_names=["benign", "Malignant tumor"], neutral_text="tumor")
    assert read_source_run(run_dir, BUNDLES).texts == dict.fromkeys(("benign", "malignant tumor", "tumor"), "tumor")


@pytest.mark.parametrize(
    ("damage", "values"),
    [
        (lambda run: (run / "models" / "model.pt").unlink(), r"run has no models/model\.pt"),
        (lambda run: (run / "models" / "model.pt").write_bytes(b"x"), r"model\.pt is damaged"),
        (lambda run: torch.save({}, run / "models" / "model.pt"), r"model\.pt.*_extra_state"),
        (lambda run: change_record(run, checkpoint_digest="0" * 16), r"hyperparameters\.json.*model\.pt"),
        (lambda run: change_record(run, dataset_dir="$print(1)"), r"hyperparameters\.json.*'\$print\(1\)'"),
    ],
)
def test_damaged_runs_are_refused(run_dir, damage, values):
    damage(run_dir)
    with pytest.raises((FileNotFoundError, ValueError), match=values):
        read_source_run(run_dir, BUNDLES)


def test_a_run_whose_bundle_is_unknown_is_refused(run_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"PromptTunedCLIPSeg.*vpt.*--bundles-dir"):
        read_source_run(run_dir, tmp_path)
