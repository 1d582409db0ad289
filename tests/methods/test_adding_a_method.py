"""A new method is one file, one registry line and one fragment, and its bundles train, evaluate and segment."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_tunevlseg import Segmenter
from monai_tunevlseg.bundles import bundle_names, write_bundles
from monai_tunevlseg.data.demo_datasets import write_demo_dataset
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import VLSMS

ROOT = Path(__file__).resolve().parents[2]

FILE = '''\
"""Gain: an adapter that scales the outputs of the linear layers of one part of the base model."""

import torch
from torch import nn

from monai_tunevlseg.methods import Adapter, EncoderSizes


class Scaled(nn.Module):
    def __init__(self, frozen: nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen
        self.gain = nn.Parameter(torch.zeros(frozen.out_features))

    def forward(self, values):
        return self.frozen(values) * (1 + self.gain.to(values.dtype))


class Gain(Adapter):
    def __init__(self, encoders: EncoderSizes, gain_part: str = "decoder", gain_layers: int = 2) -> None:
        super().__init__()
        self.part, self.layers = gain_part, gain_layers

    def attach(self, base, sites) -> None:
        names = [name for layer in sites.layers(self.part) for name in layer.mlp]
        for name in names[: self.layers]:
            base.set_submodule(name, Scaled(base.get_submodule(name)))
'''
FRAGMENT = """\
title: Gain
summary: scales the outputs of linear layers of the decoder
reference: unpublished
learning_rate: 0.01
tiny: ""
---
method: gain # registered name of a method; null = none
unfreeze: null # trainable part of the base model: null, decoder (all but the two encoders) or all
upsampler: true # the learnable upsampler beside the decoder (paper, section 5)
gain_part: decoder # text, vision or decoder
gain_layers: 2 # number of layers that are scaled
method_kwargs:
  gain_part: "@gain_part"
  gain_layers: "@gain_layers"
"""


def files_below(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix() for path in files}


@pytest.fixture
def repository(tmp_path):
    """A copy of configs/ with the new method and its bundles."""
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "configs", root / "configs")
    shutil.copy(ROOT / "LICENSE", root)
    before, registered = files_below(root), list(METHODS)
    (root / "gain.py").write_text(FILE)
    (root / "configs/methods/gain.yaml").write_text(FRAGMENT)
    spec = importlib.util.spec_from_file_location("gain", root / "gain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with METHODS.temporarily("gain", module.Gain):
        assert files_below(root) - before == {"gain.py", "configs/methods/gain.yaml"}
        assert list(METHODS) == [*registered, "gain"]
        written = write_bundles(root / "configs", root / "bundles")
        changed = {path.name for path in written if path.is_relative_to(root / "configs")}
        assert changed == {f"{model}_gain.yaml" for model in VLSMS}
        yield root


@pytest.mark.parametrize("model", VLSMS)
def test_its_bundle_trains_evaluates_and_segments(model, repository, request, tmp_path):
    assert f"{model}_gain" in bundle_names(repository / "configs")
    data = write_demo_dataset("ultrasound", tmp_path / "data", num_images=10)
    bundle, base = repository / "bundles" / f"{model}_gain", request.getfixturevalue(f"tiny_{model}_dir")

    def run(config: str, kind: str, **options) -> None:
        own = {"bundle_root": str(bundle), "dataset_dir": str(data), "device": "cpu", "num_workers": 0}
        own |= {"pretrained": str(base), "class_names": ["lesion"]}
        file = str(bundle / "configs" / f"{config}.yaml")
        workflow = ConfigWorkflow(file, workflow_type=kind, logging_file=False, **own, **options)
        for action in (workflow.initialize, workflow.run, workflow.finalize):
            action()

    run("train", "train", epochs=1, batch_size=4, effective_batch_size=4, gain_layers="3", show_progress=False)
    checkpoint = torch.load(bundle / "models/model.pt", weights_only=True)
    gains = [name for name in checkpoint if name.endswith(".gain")]
    assert len(gains) == 3 and all(checkpoint[name].abs().sum() > 0 for name in gains)
    assert {name.split(".")[0] for name in set(checkpoint) - {*gains, "_extra_state"}} == {"upsampler"}
    run("evaluate", "infer", gain_layers=3, bootstrap_resamples=10)
    assert json.loads((bundle / "eval/metrics.json").read_text())["network"]["method"] == "gain"
    segmenter = Segmenter.from_bundle(bundle, device="cpu", pretrained=base, gain_layers=3)
    image = np.zeros((40, 50, 3), np.uint8)
    assert segmenter.segment(image, ["a tumor", "a cyst"]).shape == (2, 40, 50)
