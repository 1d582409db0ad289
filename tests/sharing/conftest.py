"""A short run of an experiment, and the bundle that the command writes from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow
from shared_names import EXPERIMENT, ROOT
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.data.demo_datasets import write_demo_dataset


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_demo_dataset("ultrasound", tmp_path_factory.mktemp("ultrasound"), num_images=24)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory, data) -> Path:
    """One epoch of an experiment with hyperparameters other than its defaults, and its evaluation."""
    folder = tmp_path_factory.mktemp("run")
    more = {"bundle_root": str(folder), "dataset_dir": str(data), "prompt_depth": 3, "device": "cpu"}
    more["intensity_window"] = [0, 200]
    training = {"epochs": 1, "learning_rate": 0.004, "batch_size": 4, "show_progress": False}
    for config, kind, extra in (("train", "train", training), ("evaluate", "infer", {"save_masks": False})):
        files = [
            ROOT / "bundles" / "clipseg_vpt" / "configs" / f"{config}.yaml",
            ROOT / "configs" / f"{EXPERIMENT}.yaml",
        ]
        made = ConfigWorkflow([str(file) for file in files], workflow_type=kind, logging_file=False, **more, **extra)
        made.initialize()
        made.run()
        made.finalize()
    return folder


@pytest.fixture(scope="session")
def schema(tmp_path_factory) -> Path:
    """A substitute for MONAI's schema, which would be downloaded."""
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    file.write_text(json.dumps({"type": "object", "required": ["version", "monai_version", "network_data_format"]}))
    return file


@pytest.fixture(scope="session")
def shared(tmp_path_factory, run_dir, schema):
    """The folder with the bundle and its zip file, and the output of the command."""
    output = tmp_path_factory.mktemp("shared")
    result = CliRunner().invoke(
        app,
        ["share", EXPERIMENT, "--output", str(output), "--run-dir", str(run_dir), "--zip", "--schema", str(schema)]
        + ["--configs-dir", str(ROOT / "configs")],
    )
    assert result.exit_code == 0, result.output
    return output, result.output
