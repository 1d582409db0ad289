"""Hyperparameters and data: written with their checkpoint, and compared when a run resumes."""

import json
import logging
import re
from pathlib import Path

import pytest

from monai_tunevlseg.training.run_record import (
    CHANGEABLE_OPTIONS,
    MACHINE_OPTIONS,
    check_same_run,
    plain_values,
    without_machine_options,
    write_hyperparameters,
)

RUN = {"learning_rate": 0.002, "epochs": 3, "class_names": ["polyp"], "unfreeze": None, "upsampler": True}
LAST = Path("models", "last.pt")


def resume(data=None, **changed):
    theirs = {"hyperparameters": RUN, "data": {"train": "a", "val": "b"}}
    check_same_run(LAST, theirs, without_machine_options(RUN | changed), data or {"train": "a", "val": "b"})


def test_only_plain_values_of_the_outermost_level_are_kept():
    resolved = {"a": 1, "b": [1, "x", None], "c": {"d": 0.5}, "e::f": 2, "g": object(), "h": [[1]], "i": (1, 2)}
    assert plain_values(resolved) == {"a": 1, "b": [1, "x", None], "c": {"d": 0.5}, "i": [1, 2]}


def test_a_record_names_the_digest_of_its_checkpoint(tmp_path):
    write_hyperparameters(tmp_path / "model.pt", {"seed": 3}, "0123")
    assert json.loads((tmp_path / "hyperparameters.json").read_text()) == {"seed": 3, "checkpoint_digest": "0123"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"dataset_dir": "/elsewhere", "num_workers": 7},
        {"unfreeze": "null", "upsampler": "true"},
        {"unknown_before": 5},
        {"class_names": ("polyp",)},
    ],
)
def test_the_same_run_on_another_machine_resumes(changed, caplog):
    resume(**changed)
    assert not caplog.records


@pytest.mark.parametrize(
    ("changed", "sides"),
    [
        ({"learning_rate": 0.5}, "learning_rate 0.002.*0.5"),
        ({"class_names": ["lesion"]}, r"class_names \['polyp'\].*\['lesion'\]"),
        ({"upsampler": "false"}, "upsampler True.*'false'"),
        ({"unfreeze": "all", "learning_rate": 1}, "learning_rate 0.002.* 1.*unfreeze None.*'all'"),
    ],
)
def test_other_hyperparameters_are_refused_with_both_values(changed, sides):
    with pytest.raises(ValueError, match=rf"{LAST}.*{sides}.*resume"):
        resume(**changed)


def test_what_may_change_is_reported(caplog):
    with caplog.at_level(logging.WARNING):
        resume(epochs=9)
    assert re.search("epochs.*3.*9", caplog.text)


@pytest.mark.parametrize("split", ["train", "val"])
def test_other_data_are_refused(split):
    with pytest.raises(ValueError, match=rf"{LAST}.*\b{split};"):
        resume(data={"train": "a", "val": "b"} | {split: "x"})


def test_no_hyperparameter_is_both_of_the_machine_and_of_the_run():
    assert not MACHINE_OPTIONS & CHANGEABLE_OPTIONS
