"""From training to export with a base model in its published form: 224 pixels in the config, 352 in the processor."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image
from shared_names import ROOT
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.networks import PromptTunedCLIPSeg, load_clipseg

EXPERIMENT, NAME = "kvasir/clipseg_maple", "kvasir_polyp_clipseg_maple"


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, shape in (("images", (400, 300, 3)), ("masks", (400, 300))):
        (folder / name).mkdir()
        for number in range(3):
            pixels = rng.integers(0, 255, shape, np.uint8) if name == "images" else np.full(shape, 255, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    (folder / "splits.json").write_text(json.dumps({"train": ["0"], "val": ["1"], "test": ["2"]}))
    return folder


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, published_clipseg_dir, dataset_dir) -> Path:
    """One epoch of training, an evaluation and an inference, each with a network input of 352 pixels."""
    folder = tmp_path_factory.mktemp("run")
    common = {"bundle_root": str(folder), "pretrained": str(published_clipseg_dir), "device": "cpu", "num_workers": 0}
    common |= {"layout": "folder", "prompt_depth": 2, "precision": "fp32"}
    training = {"epochs": 1, "batch_size": 1, "show_progress": False}
    for config, kind, more in (
        ("train", "train", training | {"dataset_dir": str(dataset_dir)}),
        ("evaluate", "infer", {"dataset_dir": str(dataset_dir), "save_masks": False, "bootstrap_resamples": 20}),
        ("inference", "infer", {"dataset_dir": str(dataset_dir / "images")}),
    ):
        files = [
            ROOT / "bundles" / "clipseg_maple" / "configs" / f"{config}.yaml",
            ROOT / "configs" / f"{EXPERIMENT}.yaml",
        ]
        made = ConfigWorkflow([str(file) for file in files], workflow_type=kind, logging_file=False, **common, **more)
        made.initialize()
        sizes = set()
        made.parser.get_parsed_content("network_def").base.clip.vision_model.embeddings.register_forward_hook(
            lambda module, inputs, output, sizes=sizes: sizes.add((inputs[0].shape[-2:], output.shape[1]))
        )
        made.run()
        made.finalize()
        assert sizes == {((352, 352), 1 + 22 * 22)}, config
    return folder


def test_training_evaluation_and_inference_run_at_352(run_dir):
    assert json.loads((run_dir / "models" / "hyperparameters.json").read_text())["image_size"] == 352
    assert json.loads((run_dir / "eval" / "metrics.json").read_text())["image_size"] == 352
    with (run_dir / "eval" / "pairs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1
    assert {Image.open(path).size for path in (run_dir / "output" / "masks").glob("*.png")} == {(300, 400)}


def test_shared_bundle_and_export_have_size_352(run_dir, published_clipseg_dir, schema, tmp_path):
    arguments = [
        "share",
        EXPERIMENT,
        "--run-dir",
        run_dir,
        "--output",
        tmp_path,
        "--base-model-id",
        "CIDAS/clipseg-rd64-refined",
    ]
    arguments += ["--pretrained", published_clipseg_dir, "--schema", schema, "--configs-dir", ROOT / "configs"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert result.output.count("checked: ") == 5
    formats = json.loads((tmp_path / NAME / "configs" / "metadata.json").read_text())["network_data_format"]
    assert formats["inputs"]["image"]["spatial_shape"] == formats["outputs"]["pred"]["spatial_shape"] == [352, 352]

    target = tmp_path / "model.onnx"
    arguments = ["export-onnx", tmp_path / NAME, target, "--pretrained", published_clipseg_dir]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    (image,) = onnx.load(target).graph.input
    assert [side.dim_value for side in image.type.tensor_type.shape.dim[1:]] == [3, 352, 352]
    properties = {item.key: json.loads(item.value) for item in onnx.load(target).metadata_props}
    assert (properties["image_size"], properties["image_mean"]) == (352, [0.485, 0.456, 0.406])


def test_logits_at_352_are_those_of_transformers(published_clipseg_dir):
    base = load_clipseg(published_clipseg_dir)
    network = PromptTunedCLIPSeg(base, ["polyp"], upsampler=False).eval()
    image = torch.randn(1, 3, base.image_size, base.image_size)
    with torch.no_grad():
        expected = base.model(pixel_values=image, **base.tokenizer("polyp", return_tensors="pt")).logits
        torch.testing.assert_close(network(image)[0, 0], expected.squeeze(), rtol=1e-4, atol=1e-5)
