"""Whole bundle runs with and without a feature cache."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_methods import tiny_arguments

from monai_tunevlseg.errors import root_cause
from monai_tunevlseg.networks import VLSMS
from monai_tunevlseg.training import SeededDataset

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
PLAIN = {"augmentation_probability": 0.0}
"""Without augmentation, an uncached run sees in every epoch what a cached one sees with num_views 0."""


@pytest.fixture
def train(pictures, tmp_path, request):
    """Train a bundle for a few epochs of three batches, and return its workflow and its folder."""

    def run(name="clipseg_coop", folder="run", **overrides):
        values = {
            "bundle_root": str(tmp_path / folder),
            "dataset_dir": str(pictures),
            "pretrained": str(request.getfixturevalue(f"tiny_{name.split('_')[0]}_dir")),
            "class_names": ["square"],
            **tiny_arguments(name.partition("_")[2]),
            "epochs": 3,
            "batch_size": 2,
            "effective_batch_size": 2,
            "learning_rate": 0.05,
            "num_workers": 0,
            "show_progress": False,
            "device": "cpu",
            "precision": "fp32",
        }
        made = ConfigWorkflow(
            str(BUNDLES / name / "configs" / "train.yaml"),
            workflow_type="train",
            logging_file=False,
            **values | overrides,
        )
        made.initialize()
        made.run()
        made.finalize()
        return made

    return run


def state(folder):
    return torch.load(folder / "models" / "last.pt", weights_only=True)


def curve(folder):
    lines = (folder / "eval" / "validation.jsonl").read_text().splitlines()
    return [[value for key, value in json.loads(line).items() if key.startswith("val_")] for line in lines]


def assert_same_training(left, right, tolerance=1e-4):
    np.testing.assert_allclose(curve(left), curve(right), rtol=tolerance, atol=1e-5)
    for name, value in state(left)["model"].items():
        torch.testing.assert_close(state(right)["model"][name], value, rtol=tolerance, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        *((f"{model}_{method}", {}) for model in VLSMS for method in ("coop", "cocoop")),
        *((f"{model}_lora", {"adapted_parts": ["text", "decoder"], "dropout": 0.0}) for model in VLSMS),
        ("clipseg_vlsm_adapter", {"adapted_parts": ["condition"]}),
        ("clipseg_vlsm_adapter", {"placement": "shallow", "adapted_parts": ["text", "condition"]}),
        ("clipseg_telescopic_adapter", {"adapted_parts": ["text", "condition"], "dropout": 0.0}),
        ("cris_vlsm_adapter", {}),
        ("cris_telescopic_adapter", {"dropout": 0.0}),
        *((f"{model}_coop", {"negative_texts": 2}) for model in VLSMS),
        *((f"{model}_coop", {"presence_weight": 0.5, "negative_texts": 1}) for model in VLSMS),
    ],
)
def test_cached_and_uncached_training_agree_without_augmentation(name, own, train, tmp_path, counter):
    # plain gradient descent, because AdamW turns a rounding error in a gradient near 0 into a step of full length
    descent = {"optimizer#_target_": "torch.optim.SGD", **own}
    train(name, "plain", **PLAIN, **descent)
    assert counter.take() == (3 * 7 + 2, 3 * 7 + 2)  # the calibration reads the validation images once more
    train(name, "cached", feature_cache="memory", num_views=0, **descent)
    assert counter.take() == (7, 7)
    assert_same_training(tmp_path / "plain", tmp_path / "cached")


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_after_the_first_epoch_nothing_is_read_or_encoded(kind, train, counter):
    made = train(feature_cache=kind, epochs=4, num_views=3, num_workers=2)
    read, encoded = counter.take()
    assert encoded == 3 * 5 + 2
    assert read == 0  # in this process: the loader's workers have read them
    assert made.trainer.state.epoch == 4
    train(feature_cache=kind, epochs=4, num_views=3, folder="other")
    assert counter.take() == (5 + 2, 3 * 5 + 2)


def test_no_more_views_are_made_than_there_are_epochs(train, counter):
    train(feature_cache="memory", epochs=2, num_views=8)
    assert counter.take() == (7, 2 * 5 + 2)
    train(feature_cache="memory", epochs=2, num_views=8, **PLAIN)
    assert counter.take() == (7, 7)


def test_runs_with_other_hyperparameters_share_a_folder(train, counter, tmp_path):
    shared = {"feature_cache": "disk", "feature_cache_dir": str(tmp_path / "shared")}
    train(folder="one", **shared)
    assert counter.take() == (7, 3 * 5 + 2)
    train(folder="two", learning_rate=0.01, prompt_depth=1, num_context=2, upsampler=False, **shared)
    assert counter.take() == (0, 0)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_resumed_run_ends_where_the_uninterrupted_one_ends(kind, train, tmp_path):
    own = {"feature_cache": kind, "num_views": 2, "negative_texts": 2}
    train(**own, epochs=3, folder="whole")
    train(**own, epochs=2, folder="parts")
    train(**own, epochs=3, folder="parts", resume=True)
    whole, parts = state(tmp_path / "whole")["model"], state(tmp_path / "parts")["model"]
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_decoded_images_are_not_kept_beside_their_features(train):
    made = train(feature_cache="memory", cache_rate=1.0)
    assert made.parser.get_parsed_content("train#dataset").cache_num == 0
    assert made.parser.get_parsed_content("train#dataloader").dataset.cache is not None


def test_without_a_cache_a_run_takes_the_ordinary_dataset(train):
    parser = train(epochs=1).parser
    for part in ("train", "validate"):
        assert type(parser.get_parsed_content(f"{part}#dataloader").dataset) is SeededDataset


def test_tensorboard_shows_mask_and_prediction_without_the_picture(train, tmp_path):
    train(feature_cache="memory", epochs=1)
    events = EventAccumulator(str(tmp_path / "run" / "eval")).Reload().Tags()
    assert sorted(tag.split("_HW")[0].split("_CHW")[0] for tag in events["images"]) == ["input_1", "output"]


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("clipseg_vpt", {}, "'vpt'.*feature_cache"),
        ("clipseg_coop", {"unfreeze": "decoder"}, "'decoder'.*feature_cache"),
        ("clipseg_finetune", {}, "'all'.*feature_cache"),
        ("clipseg_lora", {}, "'lora'.*feature_cache.*adapted_parts"),
        ("clipseg_vlsm_adapter", {"placement": "shallow"}, "'vlsm_adapter'.*feature_cache.*adapted_parts"),
        ("clipseg_telescopic_adapter", {"adapted_parts": ["vision"]}, "'telescopic_adapter'.*adapted_parts"),
    ],
)
def test_bundles_whose_features_change_refuse_the_cache(name, overrides, message, train):
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011
        train(name, feature_cache="memory", **overrides)
    error = root_cause(raised.value)
    assert isinstance(error, ValueError)
    assert re.search(message, str(error))


@pytest.mark.parametrize(
    ("model", "own"),
    [("clipseg", {}), *((name, {"presence_threshold": 0.5}) for name in VLSMS)],
)
def test_evaluations_share_the_features_of_the_test_images(model, own, pictures, tmp_path, counter, request):
    def evaluate(folder, **overrides):
        base_model = request.getfixturevalue(f"tiny_{model}_dir")
        values = {"dataset_dir": str(pictures), "pretrained": str(base_model), "class_names": ["square"], **own}
        values |= {
            "method": "null",
            "upsampler": False,
            "num_workers": 0,
            "device": "cpu",
            "precision": "fp32",
            "split": "train",
        }
        values |= {"output_dir": str(tmp_path / folder), "prompt_depth": 2, "bootstrap_resamples": 10}
        made = ConfigWorkflow(
            str(BUNDLES / f"{model}_coop" / "configs" / "evaluate.yaml"), logging_file=False, **values | overrides
        )
        made.initialize()
        made.run()
        return (tmp_path / folder / "pairs.csv").read_text(), counter.take()[1]

    cached = {"feature_cache": "disk", "feature_cache_dir": str(tmp_path / "features"), "batch_size": 2}
    plain = evaluate("plain", batch_size=2)
    first, second = evaluate("first", **cached), evaluate("second", **cached)
    assert (plain[1], first[1], second[1]) == (5, 5, 0)
    assert plain[0] == first[0] == second[0]
