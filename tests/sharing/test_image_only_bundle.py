"""A bundle of a network that is trained from scratch is shared without a base model."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import onnx
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from shared_bundles import share_bundle
from shared_names import ROOT
from typer.testing import CliRunner

from monai_tunevlseg import Segmenter
from monai_tunevlseg.__main__ import app
from monai_tunevlseg.networks.identity import identity_from_tensor, identity_to_tensor
from monai_tunevlseg.sharing import Sources, build_bundle_spec, verify_bundle

EXPERIMENT, NAME = "ultrasound/unet_scratch", "ultrasound_lesion_unet_scratch"
HERE = Sources(configs_dir=ROOT / "configs")


@pytest.fixture(scope="module")
def scratch_run(tmp_path_factory, data):
    """An epoch with other settings than the experiment's, and its evaluation."""
    folder = tmp_path_factory.mktemp("scratch")
    more = {"bundle_root": str(folder), "dataset_dir": str(data), "device": "cpu", "channels": [4, 6, 8]}
    more |= {"architecture": "attention", "image_size": 64}
    training = {"epochs": 1, "batch_size": 4, "show_progress": False}
    for config, kind, extra in (("train", "train", training), ("evaluate", "infer", {"save_masks": False})):
        files = [
            ROOT / "bundles" / "unet_scratch" / "configs" / f"{config}.yaml",
            ROOT / "configs" / f"{EXPERIMENT}.yaml",
        ]
        made = ConfigWorkflow([str(file) for file in files], workflow_type=kind, logging_file=False, **more, **extra)
        made.initialize()
        made.run()
        made.finalize()
    return folder


@pytest.fixture(scope="module")
def scratch_bundle(tmp_path_factory, scratch_run):
    return share_bundle(EXPERIMENT, tmp_path_factory.mktemp("shared"), scratch_run, HERE)


def test_the_bundle_passes_all_checks(scratch_bundle, schema):
    results = list(verify_bundle(scratch_bundle, schema=schema))
    assert scratch_bundle.name == NAME and len(results) == 5
    assert [result for result in results if result.problem or result.skipped] == []


def test_settings_of_the_run_are_in_all_configs_and_no_base_model(scratch_bundle):
    for name in ("train", "evaluate", "inference"):
        values = yaml.safe_load((scratch_bundle / "configs" / f"{name}.yaml").read_text())
        assert (values["architecture"], values["channels"], values["image_size"]) == ("attention", [4, 6, 8], 64)
        assert not {"pretrained", "base_fingerprint", "demo_import"} & values.keys()
    identity = identity_from_tensor(
        torch.load(scratch_bundle / "models" / "model.pt", weights_only=True)["_extra_state"]
    )
    assert identity["settings"] == {"architecture": "attention", "channels": [4, 6, 8]}


def test_card_and_metadata_speak_of_no_base_model(scratch_bundle, scratch_run):
    card = (scratch_bundle / "docs" / "README.md").read_text()
    assert "base model" not in card.lower() and "--pretrained" not in card
    assert "architecture attention" in card and re.search(r"\n\n\n", card) is None
    metadata = json.loads((scratch_bundle / "configs" / "metadata.json").read_text())
    metrics = json.loads((scratch_run / "eval" / "metrics.json").read_text())
    assert "base_model" not in metadata
    assert metadata["eval_metrics"]["mean_dice"] == pytest.approx(metrics["dice"] / 100, abs=1e-4)
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [64, 64]


def test_the_bundle_segments_its_classes_from_python(scratch_bundle):
    segmenter = Segmenter.from_bundle(scratch_bundle, device="cpu")
    image = np.zeros((50, 70, 3), np.uint8)
    assert segmenter.segment(image).shape == segmenter.segment(image, "lesion").shape == (1, 50, 70)
    with pytest.raises(ValueError, match="'tumor'.*lesion"):
        segmenter.segment(image, ["tumor"])
    with pytest.raises(ValueError, match="pretrained"):
        Segmenter.from_bundle(scratch_bundle, pretrained="somewhere")


def test_onnx_is_compared_and_names_no_fingerprint(scratch_bundle, tmp_path):
    target = tmp_path / "model.onnx"
    result = CliRunner().invoke(app, ["export-onnx", str(scratch_bundle), str(target)])
    assert result.exit_code == 0, result.output
    properties = {item.key: json.loads(item.value) for item in onnx.load(target).metadata_props}
    assert (properties["class_names"], properties["image_size"], properties["base_fingerprint"]) == (
        ["lesion"],
        64,
        None,
    )


def test_initial_weights_are_shared_too_and_follow_the_seed(tmp_path):
    folders = [share_bundle("echo/unet_scratch", tmp_path / str(number), sources=HERE) for number in range(2)]
    first, second = (torch.load(folder / "models" / "model.pt", weights_only=True) for folder in folders)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_text_for_all_classes_is_one_channel(tmp_path):
    sources = Sources(overrides={"neutral_text": "heart"}, configs_dir=ROOT / "configs")
    folder = share_bundle("echo/unet_scratch", tmp_path, sources=sources)
    train, inference = (
        yaml.safe_load((folder / "configs" / f"{name}.yaml").read_text()) for name in ("train", "inference")
    )
    assert len(train["class_names"]) == 3 and inference["class_names"] == ["heart"]
    assert Segmenter.from_bundle(folder, device="cpu").class_names == ["heart"]
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "heart"}


@pytest.mark.parametrize("option", ["base_model_id", "pretrained"])
def test_a_base_model_is_refused(option):
    with pytest.raises(ValueError, match="U-Net.*'some/model'"):
        build_bundle_spec(EXPERIMENT, None, Sources(configs_dir=ROOT / "configs", **{option: "some/model"}))


@pytest.mark.parametrize(
    "settings", [{"learning_rate": 1.0}, {"channels": {"a": 1}}, {"architecture": "$print(1)"}, {"channels": [[1]]}, 3]
)
def test_untrusted_settings_are_refused(settings, scratch_run, tmp_path):
    run = shutil.copytree(scratch_run, tmp_path / "run")
    state = torch.load(run / "models" / "model.pt", weights_only=True)
    identity = identity_from_tensor(state["_extra_state"]) | {"settings": settings}
    torch.save(state | {"_extra_state": identity_to_tensor(identity)}, run / "models" / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt"):
        build_bundle_spec(EXPERIMENT, run, HERE)


def test_the_run_of_a_vlsm_is_refused_by_both_networks(run_dir):
    with pytest.raises(ValueError, match="PromptTunedCLIPSeg.*UNet"):
        build_bundle_spec(EXPERIMENT, run_dir, HERE)
