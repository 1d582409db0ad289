"""The two additions to the layout `folder`: masks in a folder for each class, and `dataset.json`."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, LoadImageMaskd, MaskEncoding
from monai_tunevlseg.data.issues import DatasetError


def read(folder, names, **encoding):
    return LAYOUTS["folder"].read(folder, MaskEncoding(names, **encoding), 2)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


@pytest.fixture
def overlapping(tmp_path):
    """`a` shows both classes, which overlap; `b` one; `c` none."""
    for stem in "abc":
        save(tmp_path / "images" / f"{stem}.jpg", np.full((3, 4, 3), 90))
    for name, stem, column in (("lung lesion", "a", 1), ("edema", "a", 2), ("edema", "b", 3)):
        mask = np.zeros((3, 4))
        mask[:, : column + 1] = 255
        save(tmp_path / "masks" / name / f"{stem}.png", mask)
    return tmp_path


def test_an_image_is_a_sample_of_each_class_folder_with_its_mask(overlapping):
    cases = read(overlapping, ["lung lesion", "edema"])
    assert [(case.stem, [sample["class_name"] for sample in case.samples]) for case in cases] == [
        ("a", ["lung lesion", "edema"]),
        ("b", ["edema"]),
        ("c", []),
    ]
    lesion, edema = (LoadImageMaskd()(sample)["label"][0].numpy() for sample in cases[0].samples)
    assert (lesion.sum(), edema.sum(), (lesion * edema).sum()) == (6, 9, 6)
    assert [len(case.samples) for case in read(overlapping, ["edema"])] == [1, 1, 0]


def test_classes_without_a_folder_and_label_values_are_refused(overlapping):
    with pytest.raises(ValueError, match="class_names .*edema, lung lesion, not polyp"):
        read(overlapping, ["polyp", "edema"])
    with pytest.raises(ValueError, match="label_values"):
        read(overlapping, ["edema"], label_values={"edema": 3})


def test_all_that_is_wrong_in_class_folders_is_named(overlapping):
    save(overlapping / "masks" / "edema" / "ghost.png", np.zeros((3, 4)))
    save(overlapping / "masks" / "edema" / "b.png", np.zeros((3, 5)))
    (overlapping / "masks" / "lung lesion" / "notes.txt").write_text("x")
    with pytest.raises(DatasetError, match="3 issues") as caught:
        read(overlapping, ["lung lesion", "edema"])
    assert {issue.kind for issue in caught.value.issues} == {"missing", "size", "extra"}
    assert [len(case.samples) for case in caught.value.cases] == [2, 0, 0]


def test_subfolders_beside_masks_are_passed_over_as_before(overlapping):
    for stem in "abc":
        save(overlapping / "masks" / f"{stem}.png", np.full((3, 4), 255))
    assert [len(case.samples) for case in read(overlapping, ["polyp"])] == [1, 1, 1]


@pytest.fixture
def described(tmp_path):
    """Two label maps of three classes with ignored pixels."""
    for stem, values in (("a", [[1, 3], [255, 0]]), ("b", [[2, 2], [0, 0]])):
        save(tmp_path / "images" / f"{stem}.png", np.full((2, 2, 3), 90))
        save(tmp_path / "masks" / f"{stem}.png", values)
    describe(tmp_path, {"class_names": ["x", "y", "z"], "ignore_value": 255})
    return tmp_path


def describe(folder, content):
    (folder / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_dataset_json_gives_each_class_its_value_and_the_ignored_value(described):
    cases = read(described, ["z", "y"])
    assert [[sample["class_name"] for sample in case.samples] for case in cases] == [["z"], ["y"]]
    np.testing.assert_array_equal(LoadImageMaskd()(cases[0].samples[0])["label"][0], [[0, 1], [255, 0]])
    # also of one class, only pairs with the class present
    assert [len(case.samples) for case in read(described, ["x"])] == [1, 0]


def test_label_values_of_the_user_go_before_the_description(described):
    cases = read(described, ["thing"], label_values={"thing": 2})
    assert [sample["label_value"] for case in cases for sample in case.samples] == [2, 2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "dataset.json is not JSON"),
        ([], "class_names, .*ignore_value"),
        ({"class_names": "x"}, "class_names, .*ignore_value"),
        ({"class_names": ["x", "x"]}, r"class_names .*\['x', 'x'\]"),
        ({"class_names": ["x"], "ignore_value": "255"}, "ignore_value, an integer"),
        ({"class_names": ["x", "y", "z"], "ignore_value": 0}, "ignore_value 0, .*background"),
        ({"class_names": ["x", "y", "z"], "ignore_value": 2}, "ignore_value 2, .*'y'"),
        ("[" * 100_000, "dataset.json .*nested too deeply"),
        ({"class_names": ["a", "b"]}, r"dataset\.json .*'x', 'y': class_names .*a, b"),
        (
            {"class_names": ["x", "y"], "ignore_value": 255},
            r"a\.png .*label values 3,.*dataset\.json",
        ),
    ],
)
def test_a_dataset_json_that_is_wrong_or_does_not_match(described, content, reason):
    describe(described, content)
    with pytest.raises(ValueError, match=reason):
        read(described, ["x", "y"])


def test_a_threshold_is_refused_with_a_dataset_json(described):
    with pytest.raises(ValueError, match=r"dataset\.json .*mask_threshold 9"):
        read(described, ["x"], mask_threshold=9)


def test_other_affines_of_masks_of_a_class_are_warned_of(tmp_path):
    mask = np.zeros((4, 5, 3), np.uint8)
    mask[1:3, 1:3, 1] = 1
    moved = np.eye(4)
    moved[0, 3] = 3
    for part, affine in (("images", np.eye(4)), ("masks/a", moved), ("masks/b", np.eye(4))):
        (tmp_path / part).mkdir(parents=True)
        nib.save(nib.Nifti1Image(mask, affine), tmp_path / part / "v.nii.gz")
    with pytest.warns(UserWarning, match=r"\b1 masks .*: v;") as caught:
        read(tmp_path, ["a", "b"])
    assert len(caught) == 1
