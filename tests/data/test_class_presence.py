"""Values and thresholds that no mask holds, and class ids that begin with 0."""

from __future__ import annotations

import numpy as np
import pytest

from monai_tunevlseg.data import DatasetSpec, build_datalists, sample_masks
from monai_tunevlseg.data.checks.dataset_check import check_dataset
from monai_tunevlseg.data.sample_masks import read_sample_mask

TEN = range(10)


def label_maps(folder, save, values):
    for number in TEN:
        save(folder / "images" / f"{number}.png", np.zeros((4, 4, 3), np.uint8))
        save(folder / "masks" / f"{number}.png", np.resize(np.array(values, np.uint8), (4, 4)))
    return folder


def test_a_value_that_no_mask_holds_is_refused(tmp_path, save):
    label_maps(tmp_path, save, [0, 255])
    with pytest.raises(ValueError, match="label_values.*lesion = 1"):
        build_datalists(DatasetSpec(tmp_path, ["lesion"], label_values={"lesion": 1}))
    assert build_datalists(DatasetSpec(tmp_path, ["lesion"], label_values={"lesion": 255}))
    with pytest.raises(ValueError, match="label_values.* b = 7,(?!.* a = )"):
        build_datalists(DatasetSpec(tmp_path, ["a", "b"], label_values={"a": 255, "b": 7}))


def test_a_threshold_above_every_value_is_refused(tmp_path, save):
    label_maps(tmp_path, save, [0, 100])
    assert build_datalists(DatasetSpec(tmp_path, ["lesion"], mask_threshold=100))
    with pytest.raises(ValueError, match="mask_threshold 128"):
        build_datalists(DatasetSpec(tmp_path, ["lesion"], mask_threshold=128))


def test_masks_are_read_until_one_holds_the_value(tmp_path, save, monkeypatch):
    label_maps(tmp_path, save, [0])
    save(tmp_path / "masks" / "9.png", np.full((4, 4), 5, np.uint8))
    assert build_datalists(DatasetSpec(tmp_path, ["lesion"], label_values={"lesion": 5}))
    label_maps(tmp_path, save, [0, 5])
    read = []
    monkeypatch.setattr(
        sample_masks, "read_stored_mask", lambda *a, f=sample_masks.read_stored_mask: read.append(a) or f(*a)
    )
    build_datalists(DatasetSpec(tmp_path, ["lesion"], label_values={"lesion": 5}))
    assert len(read) == 1


def test_a_value_in_slices_of_a_volume(volume_folder):
    assert build_datalists(DatasetSpec(volume_folder, ["a"], label_values={"a": 2}))
    with pytest.raises(ValueError, match="label_values.* a = 3"):
        build_datalists(DatasetSpec(volume_folder, ["a"], label_values={"a": 3}))


def test_ids_from_0_are_refused_with_the_values_to_give(tmp_path, save):
    names = ["sky", "building", "road", "car"]
    label_maps(tmp_path, save, [0, 1, 2, 3])
    with pytest.raises(ValueError, match=r" 4, .*'car'.*'sky': 0, .*'car': 3"):
        build_datalists(DatasetSpec(tmp_path, names))
    values = {name: value for value, name in enumerate(names)}
    found = build_datalists(DatasetSpec(tmp_path, names, label_values=values))
    (sky,) = [sample for sample in found["test"] if sample["class_name"] == "sky"]
    assert sky["label_value"] == 0
    assert read_sample_mask(sky).sum() == 4
    assert sum(map(len, found.values())) == 40


def test_a_class_of_two_or_in_the_middle_may_be_missing(tmp_path, save):
    label_maps(tmp_path, save, [0, 1, 3])
    assert build_datalists(DatasetSpec(tmp_path, ["a", "b", "c"]))
    label_maps(tmp_path, save, [0, 1])
    assert build_datalists(DatasetSpec(tmp_path, ["a", "b"]))


def test_the_check_reports_the_value_of_each_class(tmp_path, save):
    label_maps(tmp_path, save, [0, 1, 2])
    (issue,) = [
        issue
        for issue in check_dataset(DatasetSpec(tmp_path, ["sky", "road"])).warnings
        if issue.kind == "label values"
    ]
    assert "0 = background, 1 = sky, 2 = road" in issue.message
    given = DatasetSpec(tmp_path, ["sky", "road"], label_values={"sky": 0, "road": 1})
    assert not [issue for issue in check_dataset(given).warnings if issue.kind == "label values"]


def test_training_and_checking_warn_of_a_class_in_no_mask(tmp_path, save):
    label_maps(tmp_path, save, [0, 1])
    with pytest.warns(UserWarning, match=r"'b'.*label_values"):
        found = build_datalists(DatasetSpec(tmp_path, ["a", "b"]))
    assert {sample["class_name"] for samples in found.values() for sample in samples} == {"a"}
    report = check_dataset(DatasetSpec(tmp_path, class_names=["a", "b"]))
    assert {issue.kind for issue in report.errors} == {"duplicate"}  # the images are black
    messages = {issue.kind: issue.message for issue in report.warnings}
    assert "shows 'b'" in messages["notice"]
    assert "0 = background, 1 = a, 2 = b;" in messages["label values"]
