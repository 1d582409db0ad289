"""Masks of samples, by the keys of the sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from monai_tunevlseg.data import LoadImageMaskd
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX, mask_paths, read_sample_mask


def encode(mask):
    """COCO's code as pycocotools writes it."""
    rle = coco.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@pytest.fixture
def three(tmp_path, save):
    """Three masks of 4 x 5 that overlap, as 0/255, 0/1 and 1-bit."""
    masks = [np.zeros((4, 5), np.uint8) for _ in range(3)]
    masks[0][:2], masks[1][1:3, :3], masks[2][3, 4] = 1, 1, 1
    save(tmp_path / "a.png", masks[0] * 255)
    save(tmp_path / "b.png", masks[1])
    Image.fromarray(masks[2] * 255).convert("1").save(tmp_path / "c.png")
    return [str(tmp_path / f"{name}.png") for name in "abc"], masks


def test_several_masks_are_united(three):
    paths, masks = three
    for count in (1, 2, 3):
        found = read_sample_mask({"label": paths[:count]})
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, np.maximum.reduce(masks[:count]))
    np.testing.assert_array_equal(read_sample_mask({"label": paths[0]}), masks[0])
    assert mask_paths({"label": paths}) == [Path(path) for path in paths]
    assert mask_paths({"label": Path(paths[1])}) == [Path(paths[1])]


def test_united_masks_of_two_sizes_and_empty_lists_are_refused(three, tmp_path, save):
    other = str(save(tmp_path / "d.png", np.zeros((5, 4), np.uint8)))
    with pytest.raises(ValueError, match=r"d\.png.*\(5, 4\).*a\.png.*\(4, 5\)"):
        read_sample_mask({"label": [three[0][0], other]})
    with pytest.raises(ValueError, match=r"x\.png"):
        read_sample_mask({"image": "x.png", "label": []})


def test_ignored_pixels_are_neither_foreground_nor_background(tmp_path, save):
    values = np.array([[0, 7, 255], [8, 255, 7]], np.uint8)
    label = str(save(tmp_path / "a.png", values))
    found = read_sample_mask({"label": label, "label_value": 7, "ignore_value": 255})
    np.testing.assert_array_equal(found, [[0, 1, IGNORE_INDEX], [0, IGNORE_INDEX, 1]])
    np.testing.assert_array_equal(read_sample_mask({"label": label, "label_value": 7}), [[0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(
        read_sample_mask({"label": label, "label_value": 7, "ignore_value": None}), [[0, 1, 0], [0, 0, 1]]
    )


def test_foreground_of_one_mask_overrides_ignored_pixels_of_another(tmp_path, save):
    one = save(tmp_path / "a.png", np.array([[0, 7, 255, 255]], np.uint8))
    other = save(tmp_path / "b.png", np.array([[255, 255, 7, 255]], np.uint8))
    for paths in ([one, other], [other, one]):
        found = read_sample_mask({"label": [str(path) for path in paths], "label_value": 7, "ignore_value": 255})
        np.testing.assert_array_equal(found, [[255, 1, 1, 255]])


def test_slices(tmp_path, save, as_read):
    values = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    label = str(save(tmp_path / "a.nii.gz", values))
    sample = {"label": label, "label_value": 2, "slice": 3}
    np.testing.assert_array_equal(read_sample_mask(sample, slice_axis=1), as_read(values)[:, 3] == 2)
    np.testing.assert_array_equal(
        read_sample_mask(sample | {"slice_axis": 0}, slice_axis=1), as_read(values)[..., 3] == 2
    )


def test_loading_takes_every_form(tmp_path, save, three):
    paths, masks = three
    image = str(save(tmp_path / "image.png", np.zeros((4, 5, 3), np.uint8)))
    united = LoadImageMaskd()({"image": image, "label": paths, "text": "tumor"})["label"]
    np.testing.assert_array_equal(united[0].numpy(), np.maximum.reduce(masks))
    assert united.meta["filename_or_obj"] == paths[0]
    coded = LoadImageMaskd()({"image": image, "label": str(tmp_path / "gt.json"), "rle": encode(masks[1])})["label"]
    np.testing.assert_array_equal(coded[0].numpy(), masks[1])
    assert coded.dtype == united.dtype
    with pytest.raises(ValueError, match=r"gt\.json.*\(3, 5\).*image\.png.*\(4, 5\)"):
        LoadImageMaskd()({"image": image, "label": str(tmp_path / "gt.json"), "rle": encode(masks[1][:3])})
