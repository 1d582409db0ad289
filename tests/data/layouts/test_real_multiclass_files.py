"""A few real files of CheXlocalize, PASCAL VOC and Cityscapes, compared with other decoders."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from multiclass_trees import decode_run_lengths
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, LoadImageMaskd, MaskEncoding
from monai_tunevlseg.data.sample_masks import read_sample_mask


@pytest.fixture
def realdata(shared_dir):
    return shared_dir / "realdata"


def read(name, folder):
    layout = LAYOUTS[name]
    return layout.read(folder, MaskEncoding(layout.info.class_names), 2)


def test_chexlocalize_masks_equal_another_decoders_and_the_polygons(realdata):
    folder = realdata / "chexlocalize_sample" / "original" / "sample"
    codes = json.loads((folder / "gt_segmentations_val.json").read_text())
    polygons = json.loads((folder / "gt_annotations_val.json").read_text())
    found = {}
    for case in read("chexlocalize", folder):
        assert LoadImageMaskd()(case.samples[0])["image"].shape == (3, *case.samples[0]["rle"]["size"])
        for sample in case.samples:
            mask = read_sample_mask(sample)
            name = {"lung opacity": "Airspace Opacity"}.get(sample["class_name"], sample["class_name"].title())
            np.testing.assert_array_equal(mask, decode_run_lengths(codes[case.stem][name]))
            drawn = np.zeros(mask.shape, np.uint8)
            for contour in polygons[case.stem][name]:
                cv2.fillPoly(drawn, [np.rint(contour).astype(np.int32)], 1)
            assert (drawn * mask).sum() / np.maximum(drawn, mask).sum() > 0.95
            found[case.stem, sample["class_name"]] = int(mask.sum())
    assert found == {
        ("patient64541_study1_view1_frontal", "cardiomegaly"): 867107,
        ("patient64541_study1_view1_frontal", "enlarged cardiomediastinum"): 962252,
        ("patient64541_study1_view1_frontal", "lung opacity"): 163040,
        ("patient64542_study1_view1_frontal", "support devices"): 47345,
    }


def test_voc_masks_are_the_palette_indices_and_contours_are_ignored(realdata, tmp_path):
    source = realdata / "voc_labelme" / "original" / "data_dataset_voc"
    for name in ("JPEGImages", "SegmentationClass"):
        (tmp_path / name).symlink_to(source / name)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2011_000003\n2011_000006\n")
    (lists / "val.txt").write_text("2011_000025\n")
    shown = {}
    for case in read("pascal_voc", tmp_path):
        indices = np.asarray(Image.open(source / "SegmentationClass" / f"{case.stem}.png"))
        shown[case.stem] = [sample["class_name"] for sample in case.samples]
        for sample in case.samples:
            mask = LoadImageMaskd()(sample)["label"][0].numpy()
            np.testing.assert_array_equal(mask == 1, indices == sample["label_value"])
            np.testing.assert_array_equal(mask == 255, indices == 255)
    assert shown == {
        "2011_000003": ["bottle", "person"],
        "2011_000006": ["chair", "person", "sofa"],
        "2011_000025": ["bus", "car"],
    }


def test_cityscapes_masks_are_those_of_the_owners_other_codings(realdata, tmp_path):
    source = realdata / "cityscapes_mini" / "original" / "pseudo_cityscapes_dataset"
    for folder in ("leftImg8bit", "gtFine"):
        city = tmp_path / folder / "val" / "frankfurt"
        city.parent.mkdir(parents=True)
        city.symlink_to(source / folder)
        (tmp_path / folder / "train" / "aachen").mkdir(parents=True)
    (case,) = read("cityscapes", tmp_path)
    assert case.stem == "frankfurt_000000_000294"
    instances, train_ids = (
        cv2.imread(str(source / "gtFine" / f"{case.stem}_gtFine_{encoding}.png"), cv2.IMREAD_UNCHANGED)
        for encoding in ("instanceIds", "labelTrainIds")
    )
    found = np.full(train_ids.shape, 255)
    for sample in case.samples:
        mask = LoadImageMaskd()(sample)["label"][0].numpy()
        # the owner's instance ids are the label id, times 1000 plus a number where instances are told apart
        np.testing.assert_array_equal(
            mask == 1, sample["label_value"] == np.where(instances < 1000, instances, instances // 1000)
        )
        found[mask == 1] = TRAIN_IDS.index(sample["class_name"])
    # this copy's files were downsampled separately, so that a few pixels at borders differ
    assert (found != train_ids).mean() < 0.003


TRAIN_IDS = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""The classes in the order of the owner's training ids, 0 to 18."""
