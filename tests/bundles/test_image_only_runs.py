"""Runs of a network that is trained from scratch: its seed, its channels, and the options that it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import raises_inside, run, workflow

from monai_tunevlseg.hyperparameters import ZERO_SHOT

NAME = "unet_scratch"
with_a_network = pytest.mark.parametrize("name", [NAME])


def weights(path):
    return torch.load(path / "models" / "model.pt", weights_only=True)


@with_a_network
def test_the_seed_of_the_run_decides_the_initial_weights(name, small_train):
    first, same, other = (
        workflow(name, "train", "train", **small_train, seed=seed).network_def.state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@with_a_network
@pytest.mark.parametrize("architecture", ["attention", "flexible"])
def test_a_resumed_run_ends_like_an_uninterrupted_one(name, architecture, small_train, tmp_path):
    """AttentionUnet has batch norms, whose statistics must be resumed, and EfficientNet drops paths at random."""
    channels = [4, 6, 8, 8, 8]
    settings = small_train | {"architecture": architecture, "channels": channels, "image_size": 64, "precision": "fp32"}
    last = []
    for folder, epochs in (("whole", [2]), ("parts", [1, 2])):
        for number, count in enumerate(epochs):
            own = {"bundle_root": str(tmp_path / folder), "epochs": count, "resume": number > 0}
            run(name, "train", **settings | own)
        last.append(torch.load(tmp_path / folder / "models" / "last.pt", weights_only=True)["model"])
    whole, parts = last
    assert any(key.endswith("running_var") for key in whole)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@with_a_network
@pytest.mark.parametrize(
    ("config", "option", "value"),
    [
        ("train", "negative_texts", 3),
        ("train", "text_sets", "sets.json"),
        ("evaluate", "absent_texts", "pool"),
        ("evaluate", "compared_texts", "class_name"),
        ("inference", "text_sets", "sets.json"),
    ],
)
def test_other_texts_than_the_class_names_are_refused(name, config, option, value, tmp_path):
    kind, off = "train" if config == "train" else "infer", 0 if option == "negative_texts" else None
    with raises_inside(ValueError, f"^{option} is {value!r}.*VLSM"):
        workflow(name, config, kind, dataset_dir=str(tmp_path), **{option: value})
    workflow(name, config, kind, dataset_dir=str(tmp_path), **{option: off})


@with_a_network
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(ZERO_SHOT), "unfreeze is None.*UNet.*zero-shot"),
        ({"method": "vpt"}, "'vpt'.*UNet"),
        ({"method": "lora"}, "'lora'.*UNet"),
        ({"unfreeze": "decoder"}, "unfreeze is 'decoder'.*UNet"),
        ({"upsampler": "true"}, "upsampler.*UNet"),
        ({"architecture": "unetr"}, "^architecture is 'unetr'.*flexible, attention or dynunet"),
        ({"channels": [8, 16]}, r"channels is \[8, 16\].*'dynunet'"),
    ],
)
def test_options_that_it_cannot_have_are_refused_when_it_is_built(name, options, named, small):
    with raises_inside(ValueError, named):
        workflow(name, "evaluate", **small | options).network_def  # noqa: B018


@with_a_network
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"image_size": 100}, "100x100.*UNet.*8"),
        ({"feature_cache": "memory"}, "UNet.*feature_cache"),
        ({"initial_checkpoint": "/nowhere/model.pt"}, "/nowhere/model.pt"),
    ],
)
def test_training_refuses_what_does_not_fit(name, options, named, small_train):
    kind = FileNotFoundError if "initial_checkpoint" in options else ValueError
    with raises_inside(kind, named):
        run(name, "train", **small_train | options)


@with_a_network
def test_options_of_other_bundles_are_named_in_the_log(name, small, caplog):
    workflow(name, "inference", **small, pretrained="somewhere", nhead=8)
    messages = [record.getMessage() for record in caplog.records]
    assert any("pretrained is 'somewhere'" in message for message in messages)
    assert any("nhead is 8" in message for message in messages)


def test_its_options_are_named_in_the_log_of_other_bundles(small, caplog):
    workflow("clipseg_vpt", "inference", **small, architecture="dynunet")
    assert any("architecture is 'dynunet'" in record.getMessage() for record in caplog.records)


@with_a_network
def test_several_classes_have_a_channel_each_and_their_order_belongs_to_the_checkpoint(
    name, small, small_train, dataset_dir, tmp_path
):
    for path in (dataset_dir / "masks").iterdir():
        values = np.array(Image.open(path)) // 255
        values[:, 20:] *= 2
        (tmp_path / "set" / "masks").mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(tmp_path / "set" / "masks" / path.name)
    (tmp_path / "set" / "images").symlink_to(dataset_dir / "images")
    classes = {"class_names": ["left", "right"], "dataset_dir": str(tmp_path / "set")}
    run(name, "train", **small_train | classes)
    run(name, "evaluate", **small | classes)
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics["network"]["class_names"] == ["left", "right"]
    assert sum(part["pairs"] for part in metrics["classes"].values()) == metrics["pairs"]
    run(name, "inference", **small | classes)
    assert set(np.unique(np.array(Image.open(tmp_path / "output" / "masks" / "00.png")))) <= {0, 1, 2}
    with raises_inside(ValueError, r"\['left', 'right'\].*\['right', 'left'\]"):
        run(name, "inference", **small | classes | {"class_names": ["right", "left"]})


@with_a_network
def test_one_text_for_all_classes_is_one_channel(name, small, small_train, tmp_path):
    run(name, "train", **small_train, neutral_text="thing")
    run(name, "evaluate", **small, neutral_text="thing")
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text())["network"]["class_names"] == ["thing"]
    run(name, "inference", **small | {"class_names": ["thing"]})
    with raises_inside(ValueError, r"\['thing'\].*\['square'\]"):
        run(name, "inference", **small)
