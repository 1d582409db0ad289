"""A small dataset, and the overrides that make a bundle's run small."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import tiny_model, write_split_pictures
from tiny_methods import tiny_arguments


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory) -> Path:
    """Fourteen pictures with masks, divided."""
    return write_split_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def small(request, dataset_dir, tmp_path, run_precision) -> dict:
    """Overrides: the tiny model of the bundle `name` of the test, few pictures, results in a temporary folder."""
    name = request.getfixturevalue("name") if "name" in request.fixturenames else "clipseg_vpt"
    return {
        "bundle_root": str(tmp_path),
        "dataset_dir": str(dataset_dir),
        **tiny_model(name, request),
        **tiny_arguments(name.partition("_")[2]),
        "num_workers": 0,
        "class_names": ["square"],
        "device": "cpu",
        "precision": run_precision,
    }


@pytest.fixture
def small_train(small) -> dict:
    """The same for training: one epoch of three batches."""
    return small | {"epochs": 1, "batch_size": 4, "effective_batch_size": 8, "show_progress": False}
