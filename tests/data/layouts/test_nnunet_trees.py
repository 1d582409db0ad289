"""The layout `folder` reads datasets in nnU-Net's raw format, as others write them."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_tunevlseg.data import DatasetSpec, LoadImageMaskd, build_datalists
from monai_tunevlseg.data.checks.dataset_check import check_dataset

LABELS = {"background": 0, "polyp": 1, "tool": 2}
TRAINING = [f"case_{number:03d}" for number in range(10)]
TEST = ["case_100", "case_101"]


def mask_of(name):
    mask = np.zeros((9, 7), np.uint8)
    mask[int(name[-1]) % 5 : 6, 1:3], mask[7, 4:] = 1, 2
    return mask


@pytest.fixture
def tree(tmp_path):
    """Ten training and two test images of the dataset, and five folds of two validation images each."""
    folder = tmp_path / "nnUNet_raw" / "Dataset007_Colon"
    rng = np.random.default_rng(0)
    for part, names in (("Tr", TRAINING), ("Ts", TEST)):
        for kind in ("images", "labels"):
            (folder / f"{kind}{part}").mkdir(parents=True)
        for name in names:
            Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(
                folder / f"images{part}" / f"{name}_0000.png"
            )
            Image.fromarray(mask_of(name)).save(folder / f"labels{part}" / f"{name}.png")
    write_description(folder, LABELS)
    folds = [
        {"train": [name for name in TRAINING if name not in TRAINING[i::5]], "val": TRAINING[i::5]} for i in range(5)
    ]
    (folder / "splits_final.json").write_text(json.dumps(folds))
    return folder


def write_description(folder, labels):
    channels = {"0": "R", "1": "G", "2": "B"}
    content = {"channel_names": channels, "labels": labels, "numTraining": len(TRAINING), "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(content))


def names_of(datalists):
    return {split: sorted({sample["image"][-17:-9] for sample in samples}) for split, samples in datalists.items()}


def test_labels_and_the_first_fold(tree):
    datalists = build_datalists(DatasetSpec(tree, ["polyp", "tool"]))
    assert names_of(datalists) == {
        "train": [name for name in TRAINING if name not in TRAINING[::5]],
        "val": TRAINING[::5],
        "test": TEST,
    }
    for samples in datalists.values():
        for sample in samples:
            mask = mask_of(sample["image"][-17:-9]) == LABELS[sample["class_name"]]
            np.testing.assert_array_equal(LoadImageMaskd()(sample)["label"][0], mask)
    report = check_dataset(DatasetSpec(tree, ["polyp", "tool"]))
    assert (report.errors, report.files) == ([], 24)


def test_the_values_are_those_of_the_description(tree):
    (train, *_), *_ = build_datalists(DatasetSpec(tree, ["tool"])).values()
    assert train["label_value"] == 2
    with pytest.raises(ValueError, match="'snare'.*polyp, tool"):
        build_datalists(DatasetSpec(tree, ["snare"]))


def test_one_class_has_empty_masks_too(tree):
    write_description(tree, {"background": 0, "polyp": 1})
    for folder, names in (("labelsTr", TRAINING), ("labelsTs", TEST)):
        for name in names:
            mask = np.zeros((9, 7), np.uint8) if name == TRAINING[3] else mask_of(name) == 1
            Image.fromarray(mask.astype(np.uint8)).save(tree / folder / f"{name}.png")
    assert sum(map(len, build_datalists(DatasetSpec(tree, ["polyp"])).values())) == 12


@pytest.mark.filterwarnings("ignore:.*a tenth of train is drawn")
def test_splits_without_folds_or_test_labels(tree):
    (tree / "splits_final.json").unlink()
    found = names_of(build_datalists(DatasetSpec(tree, ["polyp"])))
    assert found["test"] == TEST and len(found["val"]) == 1
    for path in (tree / "labelsTs").iterdir():
        path.unlink()
    (tree / "labelsTs").rmdir()
    found = names_of(build_datalists(DatasetSpec(tree, ["polyp"])))
    assert sorted(sum(found.values(), [])) == TRAINING and [*map(len, found.values())] == [8, 1, 1]
    (tree / "splits_final.json").write_text(json.dumps([{"train": TRAINING[:8], "val": TRAINING[8:]}]))
    found = names_of(build_datalists(DatasetSpec(tree, ["polyp"])))
    assert found["val"] == TRAINING[8:] and set(found["test"]) < set(TRAINING[:8])


def test_equal_names_in_training_and_test(tree):
    for folder, ending in (("imagesTs", "_0000.png"), ("labelsTs", ".png")):
        (tree / folder / f"{TEST[0]}{ending}").rename(tree / folder / f"{TRAINING[0]}{ending}")
    found = names_of(build_datalists(DatasetSpec(tree, ["polyp"])))
    assert found["val"] == TRAINING[::5] and found["test"] == [TRAINING[0], TEST[1]]


def test_volumes(tree):
    for path in [*tree.glob("*/*.png")]:
        voxels = np.asarray(Image.open(path).convert("L"))[..., None].repeat(3, axis=2)
        nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 2, 1])), path.with_suffix(".nii.gz"))
        path.unlink()
    datalists = build_datalists(DatasetSpec(tree, ["polyp", "tool"]))
    assert {split: len({sample["image"] for sample in samples}) for split, samples in datalists.items()} == {
        "train": 8,
        "val": 2,
        "test": 2,
    }


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "whole": [1, 2], "core": 2},
        {"background": 0, "polyp": 2},
        {"polyp": 1},
        {"background": 0},
        {"background": 0, "ignore": 1, "polyp": 2},
        {"0": "background", "1": "polyp"},
        ["background", "polyp"],
    ],
)
def test_labels_that_are_no_list_of_classes_are_refused(tree, labels):
    write_description(tree, labels)
    with pytest.raises(ValueError, match=r"dataset\.json") as caught:
        build_datalists(DatasetSpec(tree, ["polyp"]))
    assert repr(labels) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "list of folds"),
        ({"train": [], "val": []}, "list of folds"),
        ([{"train": ["case_000"]}], "list of folds"),
        ([{"train": ["case_000", "case_100"], "val": ["case_777"]}], "case_100, case_777"),
    ],
)
def test_wrong_folds_are_refused(tree, content, named):
    (tree / "splits_final.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"splits_final\.json .*{named}"):
        build_datalists(DatasetSpec(tree, ["polyp"]))


def test_images_of_several_channels_are_refused(tree):
    (tree / "imagesTr" / f"{TRAINING[0]}_0000.png").rename(tree / "imagesTr" / f"{TRAINING[0]}_0001.png")
    with pytest.raises(ValueError, match="_0000.*case_000_0001"):
        build_datalists(DatasetSpec(tree, ["polyp"]))


def test_the_message_about_labels_is_bounded(tree):
    write_description(tree, {"background": 0, **{f"label {value}": 2 * value for value in range(1, 2000)}})
    with pytest.raises(ValueError, match="label 1") as raised:
        build_datalists(DatasetSpec(tree, layout="folder", class_names=["label 1"]))
    assert len(str(raised.value)) < 1000
