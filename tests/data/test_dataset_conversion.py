"""Rules of every form: one dataset in, the same images, masks and splits out, or nothing at all."""

from __future__ import annotations

import json

import numpy as np
import owners_trees
import pytest
from converted_datasets import assert_equal, convert, read, spec_of

from monai_tunevlseg.data.dataset_conversion import convert_dataset
from monai_tunevlseg.data.forms import FORMS

NAME = "Dataset501_Kvasir"


@pytest.mark.filterwarnings("ignore:the published sizes")
@pytest.mark.parametrize("form", FORMS)
def test_the_layout_folder_reads_every_form(tmp_path, form):
    (tmp_path / "data").mkdir()
    owners_trees.write_kvasir(tmp_path / "data")
    started, advanced = [], []
    convert_dataset(
        spec_of("kvasir", tmp_path / "data"), tmp_path / NAME, form, started.append, lambda: advanced.append(1)
    )
    assert (started, len(advanced)) == ([12], 12)
    assert_equal(read("kvasir", tmp_path / "data"), read("folder", tmp_path / NAME))


@pytest.mark.parametrize("form", FORMS)
def test_equal_names_in_two_splits_stay_apart(tmp_path, save, form):
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        save(tmp_path / "data" / split / "images" / "1.png", rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        save(tmp_path / "data" / split / "masks" / "1.png", rng.integers(0, 2, (5, 6), dtype=np.uint8) * 255)
    written = convert("folder", tmp_path / "data", tmp_path / NAME, form)
    names = {path.name.partition("__")[0] for path in written.folder.rglob("*__1*.png")}
    assert names == {"train", "val", "test"}
    assert_equal(read("folder", tmp_path / "data"), read("folder", written.folder))


@pytest.mark.filterwarnings("ignore:.*leaves out 1 images")
@pytest.mark.parametrize("form", FORMS)
def test_images_in_no_split_are_left_out(tmp_path, form):
    (tmp_path / "data").mkdir()
    stems = sorted(owners_trees.write_kvasir(tmp_path / "data"))
    (tmp_path / "mine.json").write_text(json.dumps({"train": stems[3:], "val": stems[:1], "test": stems[1:2]}))
    written = convert("kvasir", tmp_path / "data", tmp_path / NAME, form, splits_file=tmp_path / "mine.json")
    assert written.images == len(stems) - 1
    assert [path for path in written.folder.rglob("*") if path.name.startswith(stems[2])] == []


def test_a_split_without_samples_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    stems = sorted(owners_trees.write_kvasir(tmp_path / "data"))
    (tmp_path / "mine.json").write_text(json.dumps({"train": stems[1:], "val": [], "test": stems[:1]}))
    with pytest.raises(ValueError, match="'val'"):
        convert("kvasir", tmp_path / "data", tmp_path / NAME, splits_file=tmp_path / "mine.json")


def test_unknown_forms_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'nnunett'.*folder, nnunet"):
        convert("kvasir", tmp_path, tmp_path / NAME, "nnunett")


def test_nothing_is_ever_overwritten(tmp_path):
    (tmp_path / "data").mkdir()
    owners_trees.write_kvasir(tmp_path / "data")
    for name in ("file", "folder"):
        taken = tmp_path / name
        if name == "file":
            taken.write_text("mine")
        else:
            taken.mkdir()
            (taken / "mine").write_text("mine")
        with pytest.raises(FileExistsError, match=f"{name} exists"):
            convert("kvasir", tmp_path / "data", taken)
    (tmp_path / "empty").mkdir()
    assert convert("kvasir", tmp_path / "data", tmp_path / "empty").images == 12


def test_no_files_remain_after_a_damaged_mask(tmp_path):
    (tmp_path / "data").mkdir()
    owners_trees.write_kvasir(tmp_path / "data")
    mask = sorted((tmp_path / "data").rglob("masks/*.jpg"))[3]
    mask.write_bytes(mask.read_bytes()[:-200])
    with pytest.raises(ValueError, match=mask.name):
        convert("kvasir", tmp_path / "data", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_dataset_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="dataset_dir .*nowhere"):
        convert("kvasir", tmp_path / "nowhere", tmp_path / "out")
