"""Trainings with texts that do not apply, and with sets of texts."""

from __future__ import annotations

import json

import pytest
import torch
from small_runs import raises_inside, run, workflow

OWN = ["a car", "a tree", "a bus"]

pytestmark = pytest.mark.usefixtures("name")


@pytest.fixture
def name() -> str:
    return "clipseg_coop"


@pytest.fixture
def options(small_train) -> dict:
    own = {"batch_size": 10, "effective_batch_size": 10, "augmentation_probability": 0, "precision": "fp32"}
    return small_train | {"negative_source": OWN} | own


def test_the_weighted_entropy_of_absent_texts_is_added_to_the_losses(name, options):
    options["learning_rate"] = 1e-9
    plain, made = (run(name, "train", **options, negative_texts=count, negative_weight=3) for count in (0, 2))
    losses = [each.parser.get_parsed_content("train#trainer").state.output[0]["loss"] for each in (plain, made)]
    network, prepare = (made.parser.get_parsed_content(key) for key in ("network", "train#prepare_batch"))
    batch = next(iter(made.parser.get_parsed_content("train#dataloader")))
    images, target, _, arguments = prepare(batch)
    assert target.shape[:2] == (10, 3) and target[:, :1].any() and not target[:, 1:].any()
    assert all(set(row[1:]) < set(OWN) and row[0] == "square" for row in arguments["text"])
    with torch.no_grad():
        logits = network.eval()(images, arguments["text"])
    entropy = torch.nn.functional.softplus(logits[:, 1:]).mean()  # of background: -log(1 - sigmoid(x))
    assert float(losses[1]) - float(losses[0]) == pytest.approx(3 * entropy.item(), rel=1e-3)

    samples = list(made.parser.get_parsed_content("validate#dataset"))
    draw = made.parser.get_parsed_content("validate#prepare_batch").draw
    texts = [[own, *absent] for own, absent in map(draw, range(len(samples)))]
    assert all(set(row[1:]) < set(OWN) and row[0] == "square" for row in texts)
    with torch.no_grad():
        logits = network(torch.stack([sample["image"] for sample in samples]), texts)
    before, after = (each.parser.get_parsed_content("validate#evaluator").state.metrics for each in (plain, made))
    entropy = torch.nn.functional.softplus(logits[:, 1:]).mean()
    assert after["val_loss"] - before["val_loss"] == pytest.approx(3 * entropy.item(), rel=1e-3)
    dice = []
    for sample, found in zip(samples, logits > 0, strict=True):
        truth = sample["label"][0] > 0
        overlap = 2 * (found[0] & truth).sum() / (found[0].sum() + truth.sum())
        silent = 1 - found[1:].flatten(1).any(dim=1).float().mean()
        dice.append([overlap, overlap * (1 + silent) / 2])
    means = torch.tensor(dice).mean(dim=0).tolist()
    assert [before["val_mean_dice"], after["val_mean_dice"]] == pytest.approx(means, abs=1e-4)
    assert means[1] < means[0]  # the tiny model also segments absent texts


def test_a_resumed_run_draws_the_texts_of_the_uninterrupted_one(name, options, tmp_path):
    sets = tmp_path / "sets.json"
    sets.write_text(json.dumps({"square": ["a bright square", "a box"]}))
    drawing = options | {"negative_texts": 2, "text_sets": str(sets), "learning_rate": 0.05}
    folders = {}
    for folder, parts in {"whole": [3], "parts": [2, 3], "plain": [3]}.items():
        own = {"bundle_root": str(tmp_path / folder)} | ({"text_sets": None} if folder == "plain" else {})
        for index, epochs in enumerate(parts):
            run(name, "train", **drawing | own | {"epochs": epochs, "resume": index > 0})
        folders[folder] = torch.load(tmp_path / folder / "models" / "last.pt", weights_only=True)["model"]
    assert all(torch.equal(value, folders["parts"][key]) for key, value in folders["whole"].items())
    assert not all(torch.equal(value, folders["plain"][key]) for key, value in folders["whole"].items())


def test_texts_of_the_class_are_refused_before_training(name, options, tmp_path):
    (tmp_path / "sets.json").write_text(json.dumps({"square": ["a box"]}))
    with raises_inside(ValueError, "negative_source.*'Square'"):
        run(name, "train", **options | {"negative_texts": 1, "negative_source": ["Square"]})
    with raises_inside(ValueError, "negative_source.*'a box'"):
        own = {"negative_source": ["A box", "a box"], "text_sets": str(tmp_path / "sets.json")}
        run(name, "train", **options | own, negative_texts=1)
    assert not (tmp_path / "models" / "last.pt").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("negative_texts", -1), ("negative_texts", 1.5), ("negative_weight", -1), ("text_sets", [])]
)
def test_wrong_values_are_named_before_the_run(name, options, option, value):
    with raises_inside(ValueError, f"^{option} is .*{str(value)[1:]}"):
        workflow(name, "train", "train", **options | {option: value})
