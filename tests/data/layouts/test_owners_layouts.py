"""The contract of the layouts of public datasets, on trees in their owners' form."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import multiclass_trees
import numpy as np
import pytest
from owners_trees import FORMS, FULL_SIZE, WRITERS, datalists, enlarge, pixel_file, read
from target_trees import CENTER_WRITERS

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, LoadImageMaskd, build_datalists
from monai_tunevlseg.data.issues import DatasetError

PUBLIC = sorted(name for name in LAYOUTS if LAYOUTS[name].info)
ALL_WRITERS = WRITERS | CENTER_WRITERS | multiclass_trees.WRITERS
OF_THE_PAPER = [name for name in PUBLIC if any(LAYOUTS[name].info.sizes)]


@pytest.fixture(params=PUBLIC)
def public(request, tmp_path):
    """(layout, folder, truth) of every public dataset; one without a writer fails."""
    folder = tmp_path / "data"
    folder.mkdir()
    return request.param, folder, ALL_WRITERS[request.param](folder)


@pytest.fixture(params=[*WRITERS, *FORMS])
def tree(request, tmp_path):
    """(layout, folder, truth) of every form of the datasets of one picture per mask."""
    name, writer = FORMS.get(request.param, (request.param, WRITERS.get(request.param)))
    folder = tmp_path / "data"
    folder.mkdir()
    return name, folder, writer(folder)


# ---------------------------------------------------------------- every public dataset


def test_dataset_info_is_complete():
    for name in PUBLIC:
        info = LAYOUTS[name].info
        assert all(info.__dict__.values()), f"{name} leaves something empty"
        assert info.source.startswith(("https://", "http://mv.cvc.uab.es/"))
        assert info.license.endswith(".") and not info.reference.endswith(".")
        assert len(info.sizes) == 3 and all(isinstance(size, int) for size in info.sizes)
        assert all(known == known.strip() for known in info.class_names)


def test_sizes_are_those_of_table_1():
    sizes = {name: LAYOUTS[name].info.sizes for name in OF_THE_PAPER}
    assert sizes == {
        "bkai": (800, 100, 100),
        "busi": (624, 78, 78),
        "camus": (4800, 600, 600),
        "chexlocalize": (1279, 446, 452),
        "cityscapes": (34723, 0, 6005),
        "clinicdb": (490, 61, 61),
        "dfu": (1600, 200, 200),
        "isic": (810, 90, 379),
        "kvasir": (800, 100, 100),
        "pascal_voc": (2170, 0, 2148),
    }


def test_every_sample_has_its_keys_and_loads(public):
    name, folder, truth = public
    found = datalists(name, folder)
    for sample in (sample for samples in found.values() for sample in samples):
        assert {"image", "label", "text", "class_name"} <= sample.keys()
        loaded = LoadImageMaskd()(sample)
        assert loaded["image"].shape[0] == 3 and loaded["label"].shape[0] == 1
        assert set(np.unique(loaded["label"].numpy())) <= {0, 1, 255}
        assert 0 <= loaded["image"].min() < loaded["image"].max() <= 1


def test_a_group_is_never_divided(public):
    name, folder, _ = public
    found = datalists(name, folder)
    groups = [{sample.get("group", sample["image"]) for sample in samples} for samples in found.values()]
    assert all(groups) and sum(map(len, groups)) == len(set.union(*groups))


def test_splits_do_not_depend_on_where_the_dataset_lies_nor_on_the_classes(public, tmp_path):
    name, folder, _ = public
    first = datalists(name, folder, write_splits_to=tmp_path / "a.json")
    moved = folder.rename(tmp_path / "elsewhere")
    second = datalists(name, moved, write_splits_to=tmp_path / "b.json")
    before, after = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert (before.pop("dataset_dir"), after.pop("dataset_dir")) == (str(folder), str(moved))
    assert before == after
    renamed = json.loads(json.dumps(first).replace(str(folder), str(moved)))
    assert renamed == second


def test_neutral_text_replaces_texts_and_leaves_classes(public):
    name, folder, _ = public
    plain, neutral = datalists(name, folder), datalists(name, folder, neutral_text="thing")
    for split, samples in neutral.items():
        assert {sample["text"] for sample in samples} == {"thing"}
        assert samples == [sample | {"text": "thing"} for sample in plain[split]]


def test_published_texts_and_unknown_classes_are_refused(public):
    name, folder, _ = public
    with pytest.raises(ValueError, match=f"text_source 'p1' .*'{name}'"):
        datalists(name, folder, text_source="p1")
    with pytest.raises(ValueError, match="'dragon': class_names "):
        read(name, folder, ["dragon"])


# ---------------------------------------------------------------- one picture per mask


def test_every_mask_is_read_as_it_was_written(tree):
    name, folder, truth = tree
    cases = read(name, folder)
    assert [case.stem for case in cases] == sorted(truth)
    for case in cases:
        assert {sample["class_name"] for sample in case.samples} == set(truth[case.stem])
        for sample in case.samples:
            loaded = LoadImageMaskd()(sample)
            np.testing.assert_array_equal(loaded["label"][0].numpy(), truth[case.stem][sample["class_name"]])
            assert sample["text"] == sample["class_name"]


def test_the_folder_around_and_the_innermost_give_the_same(tree):
    name, folder, _ = tree
    whole = read(name, folder)
    depth = {"bkai": 0, "isic": 0, "isic2018": 0, "camus": 2, "ph2": 2}.get(name, 1)
    for _ in range(depth):
        (folder,) = (path for path in folder.iterdir() if path.is_dir() and path.name != "database_split")
        assert read(name, folder) == whole


def test_a_folder_without_the_dataset_is_refused_by_name(tmp_path):
    for name in WRITERS:
        with pytest.raises(FileNotFoundError, match=rf"\(dataset {name}\); .*no folders"):
            read(name, tmp_path)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"isic", "isic2018", "camus", "bkai"}))
def test_two_copies_side_by_side_are_refused(tmp_path, name):
    for copy in ("a", "b"):
        WRITERS[name](tmp_path / copy)
        (inner,) = (tmp_path / copy).iterdir()
        inner.rename(tmp_path / f"copy {copy}")
        (tmp_path / copy).rmdir()
    with pytest.raises(ValueError, match="copy a, copy b; .*dataset_dir"):
        read(name, tmp_path)


def test_everything_that_is_wrong_is_reported_at_once_and_the_rest_is_read(tree):
    name, folder, truth = tree
    good = read(name, folder)
    lonely, orphan, damaged, other = (case.samples[0] for case in good[:4])
    lonely_mask, other_mask = (_first_mask(sample) for sample in (lonely, other))
    for mask in [lonely["label"]] if isinstance(lonely["label"], str) else lonely["label"]:
        _remove(Path(mask))
    _remove(Path(orphan["image"]))
    Path(damaged["image"]).write_bytes(b"no picture at all")
    enlarge(other_mask)
    stray = Path(damaged["image"]).parent / "notes.txt"
    stray.write_text("")
    with pytest.raises(DatasetError) as caught:
        read(name, folder)
    told = {issue.kind: issue for issue in caught.value.issues}
    assert set(told) == {"missing", "unreadable", "size", "extra"}
    assert told["unreadable"].files == (damaged["image"],)
    assert str(other_mask) in told["size"].files and other_mask.name in told["size"].message
    assert told["extra"].files == (str(stray),) and "notes.txt" in told["extra"].message
    missing = [issue for issue in caught.value.issues if issue.kind == "missing"]
    named = " ".join(issue.message for issue in missing)
    assert all(case.stem.removeprefix("bus_") in named for case in good[:2])
    assert not lonely_mask.exists()
    assert caught.value.cases == good[4:]


def _first_mask(sample):
    return Path(sample["label"] if isinstance(sample["label"], str) else sample["label"][0])


def _remove(path):
    pixel_file(path).unlink()
    path.unlink(missing_ok=True)


def test_a_mask_that_ends_early_is_named_when_it_is_read(tree):
    name, folder, _ = tree
    sample = read(name, folder)[0].samples[0]
    mask = _first_mask(sample)
    content = pixel_file(mask).read_bytes()
    pixel_file(mask).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=mask.name.replace("(", r"\(").replace(")", r"\)")):
        read(name, folder)
        LoadImageMaskd()(sample)


def test_label_values_and_thresholds_that_do_not_fit_are_refused(tree):
    name, folder, _ = tree
    chosen = LAYOUTS[name].info.class_names[0]
    wrong = {"mask_threshold": 9} if name == "camus" else {"label_values": {chosen: 1}}
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}.*set .*{next(iter(wrong))} to null"):
        read(name, folder, [chosen], **wrong)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"camus"}))
def test_the_users_threshold_takes_precedence(tmp_path, name):
    WRITERS[name](tmp_path)
    cases = read(name, tmp_path, LAYOUTS[name].info.class_names[:1], mask_threshold=17)
    assert {sample["mask_threshold"] for case in cases for sample in case.samples} == {17}


@pytest.mark.parametrize("name", sorted(FULL_SIZE))
def test_full_size_gives_the_sizes_of_table_1(tmp_path, name):
    FULL_SIZE[name](tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build_datalists(DatasetSpec(tmp_path / "data", LAYOUTS[name].info.class_names, layout=name))
    assert tuple(len(samples) for samples in found.values()) == LAYOUTS[name].info.sizes


@pytest.mark.parametrize("name", sorted({*WRITERS} & {*OF_THE_PAPER} - {"camus"}))
def test_a_subset_is_split_in_the_same_shares_with_a_warning(tmp_path, name):
    WRITERS[name](tmp_path)
    with pytest.warns(UserWarning, match=r"\d+/\d+/\d+ .* images"):
        found = build_datalists(DatasetSpec(tmp_path, LAYOUTS[name].info.class_names, layout=name))
    sizes = [len(samples) for samples in found.values()]
    assert sizes == {"isic": [8, 1, 3], "busi": [11, 2, 2]}.get(name, [10, 1, 1])


def test_splits_in_the_folder_go_before_the_owners(tmp_path):
    stems = sorted(WRITERS["isic"](tmp_path))
    mine = {"train": stems[3:], "val": stems[:1], "test": stems[1:3]}
    (tmp_path / "splits.json").write_text(json.dumps(mine))
    found = datalists("isic", tmp_path)
    assert {split: [Path(sample["image"]).stem for sample in samples] for split, samples in found.items()} == mine
