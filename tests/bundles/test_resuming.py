"""Runs in a folder that has seen another run: what is kept, refused or replaced."""

import json
import math

import pytest
import torch
from ignite.engine import Events
from small_runs import raises_inside, run, workflow, write_pictures

from monai_tunevlseg.digests import file_digest

NAME = "clipseg_vpt"


@pytest.fixture
def trained(small_train, tmp_path):
    """The overrides of a run of one epoch whose files are in the temporary folder."""
    run(NAME, "train", **small_train)
    return small_train


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / "models").iterdir()}


def record(folder):
    return json.loads((folder / "models" / "hyperparameters.json").read_text())


def test_the_record_belongs_to_the_checkpoint(trained, tmp_path):
    assert record(tmp_path)["checkpoint_digest"] == file_digest(tmp_path / "models" / "model.pt")
    assert (record(tmp_path)["epochs"], record(tmp_path)["learning_rate"]) == (1, 0.001)


@pytest.mark.parametrize(
    ("changed", "sides"),
    [
        ({"learning_rate": 0.5}, "learning_rate 0.001.*0.5"),
        ({"weight_decay": 0.5, "seed": 3}, "seed 0.*3.*weight_decay 0.001.*0.5"),
        ({"class_names": ["lesion"]}, "class_names"),
        ({"prompt_depth": 3}, "prompt_depth 2.*3"),
        ({"upsampler": "false"}, "upsampler True.*False"),
    ],
)
def test_other_hyperparameters_are_refused_and_nothing_changes(changed, sides, trained, tmp_path):
    before = files(tmp_path)
    with raises_inside(ValueError, rf"models/last\.pt.*{sides}.*resume"):
        run(NAME, "train", **trained | changed | {"resume": True, "epochs": 2})
    assert files(tmp_path) == before


def test_another_dataset_is_refused_and_nothing_changes(trained, tmp_path):
    other = write_pictures(tmp_path / "other", count=20)
    splits = tmp_path / "eval" / "splits.json"
    before = [files(tmp_path), splits.read_bytes()]
    with raises_inside(ValueError, "train and val"):
        run(NAME, "train", **trained | {"dataset_dir": str(other), "resume": True, "epochs": 2})
    assert [files(tmp_path), splits.read_bytes()] == before


def test_a_resumed_run_records_what_it_was_given(trained, tmp_path):
    run(NAME, "train", **trained | {"resume": True, "epochs": 3, "learning_rate": "1e-3"})
    made = record(tmp_path)
    last = torch.load(tmp_path / "models" / "last.pt", weights_only=True)
    assert last["epoch"] == 3
    assert made["checkpoint_digest"] == file_digest(tmp_path / "models" / "model.pt")
    assert made["epochs"] == (3 if last["best_metric_epoch"] > 1 else 1)


def test_a_run_that_fails_leaves_the_files_of_an_earlier_one(trained, tmp_path):
    splits = tmp_path / "eval" / "splits.json"
    before, trained_with = files(tmp_path), splits.read_bytes()
    stems = json.loads(trained_with)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"train": stems["train"], "val": stems["test"], "test": stems["val"]}))
    changed = trained | {"splits_file": str(other), "learning_rate": 0.5}
    made = workflow(NAME, "train", "train", **changed)

    def spoil():
        with torch.no_grad():
            next(p for p in made.network_def.parameters() if p.requires_grad).fill_(math.nan)

    made.trainer.add_event_handler(Events.EPOCH_STARTED(once=1), spoil)
    with raises_inside(FloatingPointError, "epoch 1, step 1"):
        made.run()
    assert files(tmp_path) == before and splits.read_bytes() == trained_with
    run(NAME, "train", **changed)
    assert json.loads(splits.read_bytes())["val"] == stems["test"]


def test_a_new_run_replaces_model_and_record_together(trained, tmp_path):
    before = files(tmp_path)
    run(NAME, "train", **trained | {"learning_rate": 0.01})
    assert files(tmp_path)["model.pt"] != before["model.pt"]
    assert record(tmp_path)["learning_rate"] == 0.01
    assert record(tmp_path)["checkpoint_digest"] == file_digest(tmp_path / "models" / "model.pt")


def test_start_weights_that_training_does_not_improve_on_are_kept(trained, tmp_path):
    model = tmp_path / "models" / "model.pt"
    before = model.read_bytes()
    made = workflow(NAME, "train", "train", **trained | {"initial_checkpoint": str(model), "epochs": 2})

    def predict_nothing():
        with torch.no_grad():
            made.network_def.upsampler.convolution.bias.fill_(-1e4)

    made.trainer.add_event_handler(Events.EPOCH_STARTED(once=1), predict_nothing)
    made.run()
    assert made.evaluator.state.best_metric_epoch == 0 and made.evaluator.state.best_metric > 0
    assert model.read_bytes() == before
    lines = (tmp_path / "eval" / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]


def test_start_weights_from_elsewhere_are_the_first_best_network(trained, tmp_path):
    start = tmp_path / "models" / "model.pt"
    values = trained | {"initial_checkpoint": str(start), "bundle_root": str(tmp_path / "next"), "learning_rate": 1e-12}
    made = run(NAME, "train", **values)
    best, old = (torch.load(path, weights_only=True) for path in (tmp_path / "next" / "models" / "model.pt", start))
    assert made.evaluator.state.best_metric_epoch == 0
    assert all(torch.equal(value, old[name]) for name, value in best.items())
    assert record(tmp_path / "next")["initial_checkpoint"] == str(start)


@pytest.mark.parametrize(
    ("config", "option"), [("evaluate", "ckpt_path"), ("inference", "ckpt_path"), ("train", "initial_checkpoint")]
)
def test_a_damaged_checkpoint_is_named_wherever_it_is_given(config, option, small, tmp_path):
    path = tmp_path / "damaged.pt"
    torch.save({"weight": torch.zeros(99)}, path)
    path.write_bytes(path.read_bytes()[:-50])
    with raises_inside(ValueError, r"damaged\.pt"):
        run(NAME, config, **small | {option: str(path)})
