"""Runs on a part of the images: what they train on, what they write, and what a resumed run refuses."""

from __future__ import annotations

import json

import pytest
import torch
from small_runs import raises_inside, run, workflow

from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS, write_demo_dataset

NAME = "clipseg_vpt"
NESTED = (1, 4)


@pytest.fixture(scope="module")
def echo_dir(tmp_path_factory):
    """Twenty-four pictures of three classes: eighteen to train, three each to validate and test."""
    return write_demo_dataset("echo", tmp_path_factory.mktemp("echo"), num_images=24)


@pytest.fixture
def few(small_train, echo_dir):
    """Overrides of a training run on those pictures."""
    return small_train | {"dataset_dir": str(echo_dir), "class_names": list(DEMO_DATASETS["echo"].class_names)}


def written(folder):
    return json.loads((folder / "eval" / "splits.json").read_text())


def test_runs_on_one_and_on_four_images_are_tested_on_the_same_images(few, small, echo_dir, tmp_path):
    splits = {}
    for num_shots in NESTED:
        folder = tmp_path / str(num_shots)
        own = {"bundle_root": str(folder), "num_shots": num_shots, "val_fraction": "same"}
        made = run(NAME, "train", **few | own)
        assert len(made.trainer.data_loader.dataset) == 3 * num_shots  # each picture shows all classes
        assert (folder / "models" / "model.pt").is_file()
        assert json.loads((folder / "models" / "hyperparameters.json").read_text())["num_shots"] == num_shots
        same = {name: few[name] for name in ("dataset_dir", "class_names")} | {"bundle_root": str(folder)}
        run(NAME, "evaluate", **small | same, bootstrap_resamples=10)
        assert json.loads((folder / "eval" / "metrics.json").read_text())["images"] == 3
        splits[num_shots] = written(folder)
    one, four = (splits[count] for count in NESTED)
    assert [len(one[name]) for name in ("train", "val", "test")] == [1, 1, 3]
    assert [len(four[name]) for name in ("train", "val", "test")] == [4, 3, 3]
    assert all(set(one[name]) <= set(four[name]) for name in ("train", "val"))
    given = json.loads((echo_dir / "splits.json").read_text())
    assert one["test"] == four["test"] == given["test"]
    assert sorted(one["train"] + one["val"] + one["left_out"]) == sorted(given["train"] + given["val"])


def test_the_seed_of_the_run_leaves_the_images_and_that_of_the_subset_the_weights(few):
    images, weights = [], []
    for seed, subset_seed in ((0, 0), (1, 0), (0, 1)):
        made = workflow(NAME, "train", "train", **few, train_fraction=0.3, seed=seed, subset_seed=subset_seed)
        weights.append({name: part for name, part in made.network_def.named_parameters() if part.requires_grad})
        images.append(made.parser.get_parsed_content("datalists")["train"])
    assert images[0] == images[1] != images[2] and len(images[0]) == len(images[2]) == 3 * 5
    same, other = ([torch.equal(weights[0][name], each[name]) for name in each] for each in (weights[2], weights[1]))
    assert all(same) and not all(other)


@pytest.mark.parametrize(
    ("changed", "sides"),
    [
        ({"num_shots": 3}, "num_shots 2 instead of 3"),
        ({"num_shots": "null"}, "num_shots 2 instead of None"),
        ({"subset_seed": 1}, "subset_seed 0 instead of 1"),
        ({"val_fraction": "same"}, "val_fraction None instead of 'same'"),
    ],
)
def test_a_run_does_not_resume_with_other_images(changed, sides, small_train):
    options = small_train | {"num_shots": 2}
    run(NAME, "train", **options)
    with raises_inside(ValueError, sides):
        run(NAME, "train", **options | changed | {"resume": True, "epochs": 2})


def test_a_resumed_run_has_the_same_images(small_train, tmp_path):
    options = small_train | {"num_shots": "2"}
    run(NAME, "train", **options)
    before = written(tmp_path)
    made = run(NAME, "train", **options | {"resume": True, "epochs": 2})
    assert made.trainer.state.epoch == 2 and len(made.trainer.data_loader.dataset) == 2
    assert written(tmp_path) == before and len(before["train"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shots": 0}, "^num_shots is 0"),
        ({"train_fraction": "1.5"}, "^train_fraction is '1.5'"),
        ({"val_fraction": "alike"}, "^val_fraction is 'alike'.*same"),
        ({"num_shots": "4", "train_fraction": "0.5"}, "^num_shots is 4 and train_fraction is 0.5"),
        ({"num_shots": 11}, "^num_shots is 11.*10 images"),
    ],
)
def test_wrong_options_are_refused(options, message, small_train):
    with raises_inside(ValueError, message):
        workflow(NAME, "train", "train", **small_train, **options).parser.get_parsed_content("datalists")


@pytest.mark.parametrize("name", ["unet_scratch"])
@pytest.mark.parametrize("architecture", ["attention", "dynunet"])
def test_a_network_with_normalization_trains_on_one_image(name, architecture, small_train, tmp_path):
    network = {"channels": [4, 6, 8, 8, 8], "image_size": 64, "architecture": architecture}
    run(name, "train", **small_train | network | {"num_shots": 1, "effective_batch_size": 32})
    assert len(written(tmp_path)["train"]) == 1
