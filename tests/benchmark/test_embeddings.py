"""Stored embeddings are those of each VLSM's frozen base model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_tunevlseg.benchmark import ExperimentSpec
from monai_tunevlseg.benchmark.artifacts import store_embeddings
from monai_tunevlseg.benchmark.embeddings import read_embeddings
from monai_tunevlseg.networks import VLSMS
from monai_tunevlseg.search.experiments import find_experiment

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory) -> Path:
    """Three test pictures, and one picture each of the other splits."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, shape in (("images", (40, 30, 3)), ("masks", (40, 30))):
        (folder / name).mkdir()
        for number in range(5):
            pixels = rng.integers(0, 255, shape, np.uint8) if name == "images" else np.full(shape, 255, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    (folder / "splits.json").write_text(json.dumps({"train": ["0"], "val": ["1"], "test": ["2", "3", "4"]}))
    return folder


@pytest.mark.parametrize("model", list(VLSMS))
def test_images_and_texts_are_embedded_by_the_base_model(model, dataset_dir, tmp_path, request):
    base_model_dir = str(request.getfixturevalue(f"tiny_{model}_dir"))
    spec = ExperimentSpec("kvasir", model, "coop")
    experiment = find_experiment(spec.experiment, REPOSITORY / "configs", REPOSITORY / "bundles")
    overrides = {"dataset_dir": str(dataset_dir), "layout": "folder", "pretrained": base_model_dir, "precision": "fp32"}
    for batch_size in (1, 2):
        path = tmp_path / f"{batch_size}.npz"
        store_embeddings(path, spec, "A title", experiment, {**overrides, "batch_size": batch_size})
    alone, together = (read_embeddings(tmp_path / f"{batch_size}.npz") for batch_size in (1, 2))
    np.testing.assert_allclose(alone.image, together.image, rtol=1e-4, atol=1e-5)
    assert len(alone.image) == len(np.unique(alone.image, axis=0)) == 3
    base_model = VLSMS[model].load_base(base_model_dir)
    network = VLSMS[model](base_model, ["polyp"]).eval()
    with torch.no_grad():
        np.testing.assert_allclose(alone.text, network.embed_text(alone.texts), rtol=1e-4, atol=1e-5)
    assert alone.image.shape[1] == network.encoder_sizes().image_embed_dim
