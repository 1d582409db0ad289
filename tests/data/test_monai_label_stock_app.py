"""Samples and label maps of MONAI Label's own bundle app."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from monai_tunevlseg.data import CompletePairs, DatasetSpec, SavePredictiond, ToMONAILabelFormatd
from monai_tunevlseg.data.io.reading import read_stored_mask


@pytest.fixture
def files(tmp_path):
    """A picture, and a label map with the values 1 and 2."""
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3, 1:3], labels[4:, 4:] = 1, 2
    Image.fromarray(labels * 100).save(tmp_path / "image.png")
    Image.fromarray(labels).save(tmp_path / "label.png")
    return {"image": str(tmp_path / "image.png"), "label": str(tmp_path / "label.png")}


def test_a_sample_becomes_a_pair_for_each_class_that_it_shows(files):
    pairs = CompletePairs(DatasetSpec("", ["cyst", "lesion", "vessel"]))([files])
    assert [(pair["text"], pair["label_value"]) for pair in pairs] == [("cyst", 1), ("lesion", 2)]


def test_a_pair_stays_unchanged(files):
    pair = files | {"text": "cyst"}
    assert CompletePairs(DatasetSpec("", ["cyst"]))([pair]) == [pair]


def test_an_unknown_label_value_is_named(files):
    Image.fromarray(np.full((6, 8), 7, np.uint8)).save(files["label"])
    with pytest.raises(ValueError, match=r"label\.png"):
        CompletePairs(DatasetSpec("", ["cyst", "lesion"]))([files])


def item(path, labels, **more):
    image = MetaTensor(torch.zeros(3, *labels.shape[1:]), meta={"filename_or_obj": path})
    return {"image": image, "pred": labels, **more}


def test_label_maps_of_a_bundles_own_run_stay_unchanged(files):
    labels = torch.ones(1, 6, 8, dtype=torch.uint8)
    assert ToMONAILabelFormatd()(item(files["image"], labels))["pred"] is labels


def test_a_served_picture_has_columns_first_and_no_channel(files):
    labels = torch.arange(48, dtype=torch.uint8).reshape(1, 6, 8)
    served = ToMONAILabelFormatd()(item(files["image"], labels, image_path=files["image"]))
    assert torch.equal(served["pred"], labels[0].T)
    assert list(served["image"].meta["spatial_shape"]) == [8, 6]


def test_a_served_volume_keeps_its_axes_and_its_affine(tmp_path):
    stored, affine = np.arange(120, dtype=np.uint8).reshape(4, 5, 6), np.diag([1.0, 2, 3, 1])
    path = tmp_path / "volume.nii.gz"
    nib.save(nib.Nifti1Image(stored, affine), path)
    labels = torch.from_numpy(read_stored_mask(path).values.copy())[None]
    assert labels.shape == (1, 6, 5, 4)
    served = ToMONAILabelFormatd()(item(str(path), labels, image_path="volume"))
    np.testing.assert_array_equal(served["pred"][0].numpy(), stored)
    np.testing.assert_array_equal(served["image"].meta["original_affine"].numpy(), affine)


def test_served_items_are_not_saved_by_the_bundle(files, tmp_path):
    SavePredictiond(output_dir=tmp_path / "output")(item(files["image"], torch.zeros(1, 6, 8), image_path="image"))
    assert not (tmp_path / "output").exists()
