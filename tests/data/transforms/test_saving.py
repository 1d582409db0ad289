from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from binary_masks import read_mask
from monai.data import MetaTensor
from PIL import Image

from monai_tunevlseg.data import LoadImageMaskd, SavePredictiond
from monai_tunevlseg.data.io.orientation import array_axis
from monai_tunevlseg.data.io.reading import read_image
from monai_tunevlseg.data.label_overlay import class_color, draw_overlay
from monai_tunevlseg.data.transforms.saving import write_legend

OBLIQUE = np.array([[-0.7, 0.1, 0.02, 10], [0.1, -0.8, 0.2, 20.5], [0.03, 0.1, 2.5, -30], [0, 0, 0, 1]])


def item(path, prediction):
    """Return an item of a loaded file and a prediction, which is given in the file's stored order."""
    if path.name.endswith((".nii", ".nii.gz")):
        flat = prediction.ndim == 2 or prediction.shape[2] == 1
        prediction = prediction.T.reshape(prediction.shape[1::-1]) if flat else prediction.transpose(2, 1, 0)[::-1]
    pred = MetaTensor(torch.from_numpy(np.ascontiguousarray(prediction[None])))
    return LoadImageMaskd(with_label=False)({"image": str(path)}) | {"pred": pred}


def volume_file(path, shape):
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=shape).astype(np.float32), OBLIQUE)
    image.set_qform(OBLIQUE, code=1)
    image.set_sform(OBLIQUE, code=3)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = 77
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [(6, 7, 5), (6, 7, 1), (6, 7)])
def test_nifti_keeps_geometry_and_header(tmp_path, suffix, shape):
    source = volume_file(tmp_path / f"v.1{suffix}", shape)
    labels = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    SavePredictiond("pred", tmp_path / "out", num_classes=3)(item(source, labels))
    before, after = nib.load(source), nib.load(tmp_path / "out" / "masks" / source.name)
    np.testing.assert_array_equal(np.asarray(after.dataobj), labels)
    assert after.get_data_dtype() == np.uint8
    assert after.shape == shape
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(after.get_qform(), before.get_qform())
    for field in ("sform_code", "qform_code", "xyzt_units", "pixdim"):
        np.testing.assert_array_equal(after.header[field], before.header[field])
    assert after.header["cal_max"] == 0
    assert (tmp_path / "out" / "overlays" / "v.1.png").is_file()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize(("num_classes", "written"), [(1, 255), (2, 1)])
def test_picture_gets_a_png_that_reads_back(tmp_path, save, suffix, num_classes, written):
    source = save(tmp_path / f"a.b{suffix}", np.full((12, 16, 3), 100, np.uint8))
    labels = np.zeros((12, 16), np.uint8)
    labels[2:9, 3:10] = 1
    data = item(source, labels)
    assert SavePredictiond("pred", tmp_path / "out", num_classes)(data).keys() == data.keys()
    path = tmp_path / "out" / "masks" / "a.b.png"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), labels * written)
    np.testing.assert_array_equal(read_mask(path, None if num_classes == 1 else 1), labels > 0)
    overlay = np.asarray(Image.open(tmp_path / "out" / "overlays" / "a.b.png"))
    assert overlay.shape == (12, 16, 3)
    np.testing.assert_allclose(overlay[0, 0], 100, atol=3)
    np.testing.assert_array_equal(overlay[2, 3], np.rint(class_color(0) * 255))
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["a.b.png", "a.b.png"]


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_overlay_of_a_volume_shows_the_slice_with_the_largest_area(tmp_path, slice_axis):
    source = volume_file(tmp_path / "v.nii.gz", (6, 7, 5))
    labels = np.zeros((6, 7, 5), np.uint8)
    labels.swapaxes(0, slice_axis)[1, 1:4, 1:4] = 1
    labels.swapaxes(0, slice_axis)[4, 1, 1] = 1
    SavePredictiond("pred", tmp_path, slice_axis=slice_axis)(item(source, labels))
    overlay = np.asarray(Image.open(tmp_path / "overlays" / "v.png"))
    contour = (overlay == np.rint(class_color(0) * 255)).all(axis=-1)
    assert contour.sum() == 8
    assert sorted(contour.shape) == sorted(np.delete((6, 7, 5), slice_axis))


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_overlay_shows_the_slice_of_the_loaded_volume(tmp_path, slice_axis):
    source, window = volume_file(tmp_path / "v.nii.gz", (6, 7, 5)), [-0.5, 1.5]
    data = LoadImageMaskd(with_label=False, intensity_window=window)({"image": str(source)})
    labels = torch.zeros(1, *data["image"].shape[1:], dtype=torch.uint8)
    labels.select(array_axis(slice_axis) + 1, 1)[0, 1:4, 1:4] = 1
    SavePredictiond("pred", tmp_path, slice_axis=slice_axis)(data | {"pred": MetaTensor(labels)})
    read = read_image(source, 1, slice_axis, window)
    shown = labels[0].select(array_axis(slice_axis), 1).numpy()
    overlay = np.asarray(Image.open(tmp_path / "overlays" / "v.png"))
    np.testing.assert_array_equal(overlay, draw_overlay(read, shown, 1))


def test_overlay_of_two_dimensional_nifti_has_columns_first(tmp_path):
    source = volume_file(tmp_path / "v.nii.gz", (6, 7))
    labels = np.zeros((6, 7), np.uint8)
    labels[5, 0] = 1
    SavePredictiond("pred", tmp_path)(item(source, labels))
    overlay = np.asarray(Image.open(tmp_path / "overlays" / "v.png"))
    np.testing.assert_array_equal(overlay[0, 5], np.rint(class_color(0) * 255))


def test_empty_prediction_of_a_volume_is_saved(tmp_path):
    source = volume_file(tmp_path / "v.nii.gz", (6, 7, 5))
    SavePredictiond("pred", tmp_path)(item(source, np.zeros((6, 7, 5), np.uint8)))
    assert not np.asarray(nib.load(tmp_path / "masks" / "v.nii.gz").dataobj).any()


def test_prediction_of_another_size_is_refused(tmp_path, save):
    source = save(tmp_path / "a.png", np.zeros((12, 16), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png.*\(1, 16, 12\).*\(1, 12, 16\)"):
        SavePredictiond("pred", tmp_path / "out")(item(source, np.zeros((16, 12), np.uint8)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [2.0, -1.0, 0.5, float("nan")])
def test_prediction_other_than_a_label_map_is_refused(tmp_path, save, wrong):
    source = save(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    prediction = np.zeros((3, 4), np.float32)
    prediction[1, 2] = wrong
    with pytest.raises(ValueError, match=r"a\.png.* 0\.\.1;.*LogitsToLabelMapd"):
        SavePredictiond("pred", tmp_path / "out")(item(source, prediction))


@pytest.mark.parametrize(("name", "value"), [("num_classes", 0), ("num_classes", 255), ("slice_axis", 3)])
def test_wrong_arguments_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} {value}"):
        SavePredictiond("pred", "out", **{name: value})


def test_the_legend_names_the_values_and_colors_of_several_classes(tmp_path):
    write_legend(tmp_path / "legend.json", ["Müller's muscle", "road"])
    legend = json.loads((tmp_path / "legend.json").read_text(encoding="utf-8"))
    assert [legend[value]["name"] for value in ("0", "1", "2")] == ["background", "Müller's muscle", "road"]
    for index, value in enumerate(("1", "2")):
        tinted = draw_overlay(np.zeros((9, 9, 3), np.float32), np.full((9, 9), index + 1), 2)
        expected = np.asarray(legend[value]["color"])
        assert (np.abs(tinted[4, 4] - 0.35 * expected) <= 1).all()
    write_legend(tmp_path / "legend.json", ["road"])
    assert set(json.loads((tmp_path / "legend.json").read_text())) == {"0", "1"}
