"""Images that a run was trained on are never tested, even when images are added to the folder."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from monai_tunevlseg.data import DatasetSpec, build_datalists

RUN = "run/splits.json"


@pytest.fixture
def trained(tmp_path, save):
    """A folder of forty pictures that a run has trained on."""
    add(tmp_path / "data", save, range(40))
    build_datalists(DatasetSpec(tmp_path / "data", ["polyp"]), write_splits_to=tmp_path / RUN)
    return tmp_path


def add(folder, save, numbers):
    for number in numbers:
        save(folder / "images" / f"case{number}.png", np.zeros((4, 4, 3), np.uint8))
        save(folder / "masks" / f"case{number}.png", np.eye(4, dtype=np.uint8))


def stems(samples):
    return {Path(sample["image"]).stem for sample in samples}


def lists(folder, run, **arguments):
    return build_datalists(DatasetSpec(folder, ["polyp"], **arguments), trained_splits=run)


def test_without_a_run_and_without_changes_nothing_changes(trained):
    plain = build_datalists(DatasetSpec(trained / "data", ["polyp"]))
    assert lists(trained / "data", trained / "nowhere.json") == plain
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lists(trained / "data", trained / RUN) == plain


@pytest.mark.parametrize("moved", [False, True])
def test_images_that_were_added_are_in_no_split(trained, save, moved):
    before = {
        name: stems(samples) for name, samples in build_datalists(DatasetSpec(trained / "data", ["polyp"])).items()
    }
    folder = trained / "data"
    if moved:
        folder = folder.rename(trained / "moved")
    add(folder, save, range(40, 50))
    drawn = build_datalists(DatasetSpec(folder, ["polyp"]))
    assert stems(drawn["test"]) & (before["train"] | before["val"]), "a new draw would test an image of val"
    with pytest.warns(UserWarning, match="10 images"):
        found = lists(folder, trained / RUN)
    assert {name: stems(samples) for name, samples in found.items()} == before


def test_images_that_were_removed_are_passed_over(trained):
    (gone,) = list(stems(build_datalists(DatasetSpec(trained / "data", ["polyp"]))["train"]))[:1]
    for part in ("images", "masks"):
        (trained / "data" / part / f"{gone}.png").unlink()
    assert gone not in stems(lists(trained / "data", trained / RUN)["train"])


def test_splits_of_the_user_that_test_what_was_trained_are_refused(trained):
    splits = json.loads((trained / RUN).read_text())
    other = trained / "other.json"
    swapped = splits | {
        "train": splits["train"][1:] + splits["test"][:1],
        "test": splits["test"][1:] + splits["train"][:1],
    }
    other.write_text(json.dumps(swapped))
    with pytest.raises(ValueError, match=rf"'test' holds 1 images .*: {splits['train'][0]}; .*trained_splits to null"):
        lists(trained / "data", trained / RUN, splits_file=other)
    assert lists(trained / "data", None, splits_file=other)
    shutil.copy(other, trained / "data" / "splits.json")
    with pytest.raises(ValueError, match="'test' holds 1 images"):
        lists(trained / "data", trained / RUN)
    assert lists(trained / "data", trained / RUN, splits_file=trained / RUN)


def test_a_run_on_another_dataset_has_no_effect(trained, save):
    add(trained / "other", save, range(60))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lists(trained / "other", trained / RUN) == build_datalists(DatasetSpec(trained / "other", ["polyp"]))
    shutil.rmtree(trained / "data")
    add(trained / "third", save, range(20, 30))
    assert lists(trained / "third", trained / RUN) == build_datalists(DatasetSpec(trained / "third", ["polyp"]))
