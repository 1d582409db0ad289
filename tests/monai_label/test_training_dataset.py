"""Submitted labels as a training dataset, without a server."""

from __future__ import annotations

import dataclasses

import nibabel as nib
import numpy as np
import pytest
from label_fixtures import SIZE, circle_mask, draw_picture, write_volume
from PIL import Image

from monai_tunevlseg.data import DatasetSpec, build_datalists
from monai_tunevlseg.monai_label.training_dataset import (
    SubmittedLabel,
    check_label,
    label_values,
    write_training_dataset,
)


@pytest.fixture
def submit(tmp_path):
    """Writes a picture and a label of it."""

    def write(number, mask, names=None, suffix=".png"):
        image, label = tmp_path / f"picture{number}{suffix}", tmp_path / f"label{number}.png"
        draw_picture().save(image)
        Image.fromarray(mask.astype(np.uint8)).save(label)
        return SubmittedLabel(image, label, {"label_names": names or {}})

    return write


def masks(folder):
    return {path.stem: np.asarray(Image.open(path)) for path in sorted((folder / "masks").glob("*.png"))}


def test_masks_of_one_class_may_be_1_or_255(submit, tmp_path):
    splits = write_training_dataset(
        [submit(0, circle_mask()), submit(1, circle_mask() * 255)], ["circle"], tmp_path / "d", 0.5
    )
    assert [len(splits[part]) for part in ("train", "val")] == [1, 1]
    for mask in masks(tmp_path / "d").values():
        np.testing.assert_array_equal(mask, circle_mask())


def test_values_follow_the_names_that_came_with_the_label(submit, tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    mask[:5], mask[5:9], mask[9:12] = 1, 2, 3
    names = {"lesion": 3, "cyst": 1, "shadow": 2}
    write_training_dataset([submit(0, mask, names), submit(1, mask, names)], ["cyst", "lesion"], tmp_path / "d", 0.5)
    written = masks(tmp_path / "d")["00000"]
    assert (set(written[:5].flat), set(written[5:9].flat), set(written[9:12].flat)) == ({1}, {0}, {2})


def test_a_label_of_other_classes_is_skipped(submit, tmp_path, caplog):
    items = [submit(number, circle_mask(), {"circle": 1}) for number in range(2)]
    write_training_dataset([*items, submit(2, circle_mask(), {"square": 1})], ["circle"], tmp_path / "d", 0.5)
    assert len(masks(tmp_path / "d")) == 2
    assert "label2.png" in caplog.text and "square" in caplog.text


def test_a_label_of_another_size_is_skipped(submit, tmp_path, caplog):
    items = [submit(number, circle_mask()) for number in range(2)]
    write_training_dataset([*items, submit(2, circle_mask()[:50])], ["circle"], tmp_path / "d", 0.5)
    assert len(masks(tmp_path / "d")) == 2
    assert "label2.png" in caplog.text and str((50, SIZE[1])) in caplog.text and str(SIZE) in caplog.text


def test_the_dataset_is_one_that_bundles_read(submit, tmp_path):
    volume = write_volume(tmp_path / "volume.nii.gz")
    label = np.repeat(circle_mask().T[..., None], 5, axis=2).astype(np.uint8)
    label[..., 3:] = 0
    nib.save(nib.Nifti1Image(label, nib.load(volume).affine), tmp_path / "label.nii.gz")
    items = [submit(0, circle_mask()), submit(1, circle_mask() * 255, suffix=".jpg")]
    folder = tmp_path / "d"
    write_training_dataset([*items, SubmittedLabel(volume, tmp_path / "label.nii.gz")], ["circle"], folder, 0.3)
    lists = build_datalists(DatasetSpec(folder, ["circle"], splits_file=folder / "splits.json"))
    assert len(lists["train"] + lists["val"]) == 2 + 3  # two pictures, three slices
    assert not {item["image"] for item in lists["train"]} & {item["image"] for item in lists["val"]}


def test_an_image_stays_in_its_part_when_others_come(submit, tmp_path):
    items = [submit(number, circle_mask()) for number in range(30)]

    def validating(count, folder):
        splits = write_training_dataset(items[:count], ["circle"], folder, 0.3)
        links = {path.stem: path.resolve().name for path in (folder / "images").iterdir()}
        return {links[stem] for stem in splits["val"]}, {links[stem] for stem in splits["train"]}

    few, many = validating(20, tmp_path / "few"), validating(30, tmp_path / "many")
    assert few[0] <= many[0]
    assert few[1] <= many[1]


def test_one_label_is_too_few(submit, tmp_path):
    with pytest.raises(ValueError, match=r"\b2\b.*\b1\b"):
        write_training_dataset([submit(0, circle_mask())], ["circle"], tmp_path / "d", 0.5)


def test_too_few_labels_are_refused_with_the_first_reason(submit, tmp_path):
    items = [submit(number, circle_mask(), {"square": 1}) for number in range(3)]
    with pytest.raises(ValueError, match=r"\b2\b.*\b0\b.*label0\.png.*square.*circle"):
        write_training_dataset(items, ["circle"], tmp_path / "d", 0.5)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_out_of_range_is_refused(share, tmp_path):
    with pytest.raises(ValueError, match="val_split"):
        write_training_dataset([], ["circle"], tmp_path / "d", share)


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ({}, {}),
        ({"label_info": [{"name": "spleen", "idx": 3}, {"name": "liver", "idx": 7}]}, {"spleen": 3, "liver": 7}),
        ({"label_info": [{"name": "spleen"}, {"name": "liver"}]}, {"spleen": 1, "liver": 2}),
        ({"label_names": {"polyp": 1}}, {"polyp": 1}),
        ({"model": "kvasir", "params": {"label_names": {"polyp": 1}}}, {"polyp": 1}),
    ],
)
def test_label_values_are_read_from_every_form_of_info(info, names):
    assert label_values(info) == names


WRONG_NAMES = [
    {"label_info": [{"name": "tumor", "idx": None}]},
    {"label_info": [{"name": "tumor", "idx": "x"}]},
    {"label_info": [{"name": "tumor", "idx": 0}]},
    {"label_info": [{"name": "tumor", "idx": 1.5}]},
    {"label_info": [{"name": "tumor", "idx": float("nan")}]},
    {"label_info": [{"name": {"a": 1}, "idx": 1}]},
    {"label_info": "tumor"},
    {"label_info": ["tumor"]},
    {"label_names": ["tumor"]},
    {"label_names": {"tumor": "$1"}},
    {"params": "tumor"},
    {"params": {"label_names": 7}},
]


@pytest.mark.parametrize("info", WRONG_NAMES)
def test_info_in_another_form_is_refused(info):
    with pytest.raises(ValueError, match="label|params"):
        label_values(info | {"model": "m"})


@pytest.mark.parametrize("info", WRONG_NAMES)
def test_only_a_label_with_odd_names_is_skipped(submit, tmp_path, caplog, info):
    good = [submit(number, circle_mask(), {"circle": 1}) for number in range(2)]
    odd = dataclasses.replace(submit(2, circle_mask()), info=info)
    splits = write_training_dataset([*good, odd], ["circle"], tmp_path / "d", 0.5)
    assert len(splits["train"] + splits["val"]) == 2
    assert str(odd.label) in caplog.text


def columns_first(mask):
    """Return the label of a picture in the axis order of 3D Slicer and ITK."""
    return mask.T.astype(np.uint8)


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("form", ["W x H", "W x H x 1"])
def test_a_nifti_label_of_a_picture_counts_columns_first(submit, tmp_path, form, square):
    mask = circle_mask()[:, : SIZE[0]] if square else circle_mask()
    voxels = columns_first(mask)[..., None] if form == "W x H x 1" else columns_first(mask)
    nib.save(nib.Nifti1Image(voxels, np.diag([-1, -1, 1, 1])), tmp_path / "label.nii.gz")
    draw_picture().crop((0, 0, mask.shape[1], mask.shape[0])).save(tmp_path / "image.png")
    label = SubmittedLabel(tmp_path / "image.png", tmp_path / "label.nii.gz")
    check_label(label.image, label.label, {})
    write_training_dataset([submit(0, circle_mask()), label], ["circle"], tmp_path / "d", 0.5)
    np.testing.assert_array_equal(masks(tmp_path / "d")["00000"], mask)


def test_a_picture_label_of_a_2d_nifti_image_counts_rows_first(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros(SIZE[::-1], np.int16), np.eye(4)), tmp_path / "image.nii.gz")
    Image.fromarray(circle_mask().astype(np.uint8)).save(tmp_path / "label.png")
    check_label(tmp_path / "image.nii.gz", tmp_path / "label.png", {})
    Image.fromarray(circle_mask().T.astype(np.uint8)).save(tmp_path / "turned.png")
    with pytest.raises(ValueError, match=r"\(150, 120\).*\(120, 150\)"):
        check_label(tmp_path / "image.nii.gz", tmp_path / "turned.png", {})


def test_a_metaimage_study_trains(submit, tmp_path):
    header = [
        "ObjectType = Image",
        "NDims = 3",
        "DimSize = 6 5 4",
        "ElementType = MET_UCHAR",
        "ElementDataFile = v.raw",
    ]
    (tmp_path / "v.mhd").write_text("\n".join(header) + "\n")
    voxels = np.arange(120, dtype=np.uint8)
    (tmp_path / "v.raw").write_bytes(voxels.tobytes())
    label = (voxels.reshape(4, 5, 6).T > 60).astype(np.uint8)
    nib.save(nib.Nifti1Image(label, np.eye(4)), tmp_path / "label.nii.gz")
    items = [submit(0, circle_mask()), SubmittedLabel(tmp_path / "v.mhd", tmp_path / "label.nii.gz")]
    splits = write_training_dataset(items, ["circle"], tmp_path / "d", 0.5)
    lists = build_datalists(DatasetSpec(tmp_path / "d", ["circle"], splits_file=tmp_path / "d" / "splits.json"))
    assert len(splits["train"] + splits["val"]) == 2
    slices = [item for item in lists["train"] + lists["val"] if "slice" in item]
    assert slices
    np.testing.assert_array_equal(nib.load(slices[0]["image"]).get_fdata(), voxels.reshape(4, 5, 6).T)
