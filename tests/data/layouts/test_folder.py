from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from binary_masks import read_mask

from monai_tunevlseg.data import LoadImageMaskd
from monai_tunevlseg.data.image_files import list_images
from monai_tunevlseg.data.io import volumes
from monai_tunevlseg.data.io.reading import read_image, read_stored_mask
from monai_tunevlseg.data.io.voxel_data import read_stream
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.layouts.folder import read_folder
from monai_tunevlseg.data.mask_encoding import MaskEncoding

POLYP = MaskEncoding(["polyp"])


def test_registered():
    assert LAYOUTS["folder"].read is read_folder
    assert LAYOUTS["folder"].info is None


def test_one_class_gives_one_sample_per_picture_even_with_an_empty_mask(binary_folder):
    cases = read_folder(binary_folder, POLYP, 2)
    assert [case.stem for case in cases] == [f"case{number}" for number in range(10)]
    assert cases[0].samples == [
        {
            "image": str(binary_folder / "images" / "case0.png"),
            "label": str(binary_folder / "masks" / "case0.png"),
            "text": "polyp",
            "class_name": "polyp",
        }
    ]
    assert all(len(case.samples) == 1 for case in cases)


def test_several_classes_give_a_sample_for_each_that_is_present(tmp_path, save):
    for name, values in {"both": [0, 1, 2], "second": [0, 0, 2], "none": [0, 0, 0]}.items():
        save(tmp_path / "images" / f"{name}.png", np.zeros((1, 3), np.uint8))
        save(tmp_path / "masks" / f"{name}.png", np.array([values], np.uint8))
    cases = read_folder(tmp_path, MaskEncoding(["a", "b"]), 2)
    found = {case.stem: [(sample["text"], sample["label_value"]) for sample in case.samples] for case in cases}
    assert found == {"both": [("a", 1), ("b", 2)], "second": [("b", 2)], "none": []}


def test_values_without_a_class_are_refused_unless_label_values_choose(tmp_path, save):
    save(tmp_path / "images" / "x.png", np.zeros((1, 4), np.uint8))
    save(tmp_path / "masks" / "x.png", np.array([[0, 1, 2, 9]], np.uint8))
    with pytest.raises(ValueError, match=r"x\.png .*label values 9 .*2 classes \(a, b = 1\.\.2\)"):
        read_folder(tmp_path, MaskEncoding(["a", "b"]), 2)
    (case,) = read_folder(tmp_path, MaskEncoding(["a", "b"], {"a": 9, "b": 5}), 2)
    assert [sample["text"] for sample in case.samples] == ["a"]


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_volume_gives_a_sample_for_each_class_and_slice_that_shows_it(volume_folder, as_read, slice_axis):
    labels = as_read(np.asarray(nib.load(volume_folder / "masks" / "a.nii.gz").dataobj))
    axis = 2 - slice_axis
    case = read_folder(volume_folder, MaskEncoding(["a", "b"]), slice_axis)[0]
    found = [(sample["slice"], sample["label_value"]) for sample in case.samples]
    assert found == [
        (index, value)
        for index in range(labels.shape[axis])
        for value in (1, 2)
        if (labels.take(index, axis) == value).any()
    ]
    assert {sample["slice_axis"] for sample in case.samples} == {slice_axis}
    every = read_folder(volume_folder, MaskEncoding(["a", "b"], every_slice=True), slice_axis)[0]
    assert [(sample["slice"], sample["label_value"]) for sample in every.samples] == [
        (index, value) for index in range(labels.shape[axis]) for value in (1, 2)
    ]


def test_volume_with_a_threshold_unites_its_labels(volume_folder):
    with pytest.raises(ValueError, match=r"a\.nii\.gz .*binary .* 0, 1, 2; .*mask_threshold"):
        read_folder(volume_folder, POLYP, 2)
    case = read_folder(volume_folder, MaskEncoding(["tumour"], mask_threshold=1), 0)[0]
    assert [sample["slice"] for sample in case.samples] == [1, 2, 4]
    sample = case.samples[2]
    assert read_mask(volume_folder / "masks" / "a.nii.gz", None, sample["mask_threshold"], 4, 0).sum() == 3


def test_volumes_are_read_once(volume_folder, monkeypatch):
    read = []
    monkeypatch.setattr(volumes, "read_stream", lambda *args: read.append(args) or read_stream(*args))
    read_folder(volume_folder, MaskEncoding(["a", "b"]), 2)
    assert len(read) == 3


def test_value_without_a_class_in_a_volume_is_refused(volume_folder, save):
    labels = np.zeros((6, 7, 5), np.float32)
    labels[0, 0, 0] = 3
    save(volume_folder / "masks" / "b.nii.gz", labels)
    with pytest.raises(ValueError, match=r"b\.nii\.gz .*label values 3 .*2 classes"):
        read_folder(volume_folder, MaskEncoding(["a", "b"]), 2)


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_missing_folder(binary_folder, missing):
    shutil.rmtree(binary_folder / missing)
    with pytest.raises(FileNotFoundError, match=f"no folder .*{missing}"):
        read_folder(binary_folder, POLYP, 2)


def test_empty_dataset(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"\(\.png, .*\) .*images/ and masks/"):
        read_folder(tmp_path, POLYP, 2)


def test_images_and_masks_without_a_partner_are_all_listed(binary_folder):
    for number in (1, 3):
        (binary_folder / "masks" / f"case{number}.png").unlink()
    (binary_folder / "images" / "case2.bmp").unlink()
    with pytest.raises(ValueError, match="2 images without .*: case1, case3; .*1 masks without .*: case2;"):
        read_folder(binary_folder, POLYP, 2)


def test_at_most_ten_are_shown(tmp_path, save):
    for number in range(12):
        save(tmp_path / "images" / f"n{number:02}.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"12 images without .*: n00, .*, n09, \.\.\. and 2 more;"):
        read_folder(tmp_path, POLYP, 2)


def test_mask_of_another_size_is_named_with_both_sizes(binary_folder, save):
    save(binary_folder / "masks" / "case4.png", np.zeros((16, 12), np.uint8))
    with pytest.raises(ValueError, match=r"\b1 masks .*: case4\.png is 16 x 12 .*case4\.jpg 12 x 16"):
        read_folder(binary_folder, POLYP, 2)


def test_volume_with_a_flat_mask_is_named(volume_folder, save):
    save(volume_folder / "masks" / "b.nii.gz", np.zeros((6, 7), np.uint8))
    with pytest.raises(ValueError, match=r"b\.nii\.gz is 7 x 6 .*b\.nii\.gz 5 x 7 x 6"):
        read_folder(volume_folder, MaskEncoding(["a", "b"]), 2)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_damaged_file_is_named(binary_folder, folder):
    (binary_folder / folder / "case3.png").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{folder}.case3\.png"):
        read_folder(binary_folder, POLYP, 2)


def test_two_images_of_one_stem_are_refused(binary_folder):
    shutil.copy(binary_folder / "images" / "case3.png", binary_folder / "images" / "case3.jpeg")
    with pytest.raises(ValueError, match=r"^\S+images .*stem: case3\.jpeg, case3\.png;"):
        read_folder(binary_folder, POLYP, 2)


def test_masks_may_have_another_form(tmp_path, save):
    save(tmp_path / "images" / "x.y.jpg", np.zeros((3, 4, 3), np.uint8))
    save(tmp_path / "masks" / "x.y.nii.gz", np.ones((4, 3), np.uint8))
    (case,) = read_folder(tmp_path, POLYP, 2)
    assert case.stem == "x.y"


def test_system_files_are_passed_over_and_others_refused(binary_folder):
    for name in (".DS_Store", "Thumbs.db", "._case1.png"):
        (binary_folder / "images" / name).write_bytes(b"")
    assert len(list_images(binary_folder / "images")) == 10
    (binary_folder / "images" / "notes.txt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"images .*: notes\.txt; .*\.png"):
        list_images(binary_folder / "images")


def test_other_affine_is_warned_of(volume_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_folder(volume_folder, MaskEncoding(["a", "b"]), 2)
    labels = nib.load(volume_folder / "masks" / "b.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(labels.dataobj), np.eye(4)), volume_folder / "masks" / "b.nii.gz")
    with pytest.warns(UserWarning, match=r"\b1 masks .*: b;"):
        read_folder(volume_folder, MaskEncoding(["a", "b"]), 2)


def test_other_orders_of_one_grid_are_turned_without_a_warning(volume_folder):
    path = volume_folder / "masks" / "b.nii.gz"
    before = read_stored_mask(path).values.copy()
    nib.save(nib.as_closest_canonical(nib.load(path)), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cases = read_folder(volume_folder, MaskEncoding(["a", "b"]), 2)
    assert [(s["slice"], s["label_value"]) for s in cases[0].samples] == [
        (s["slice"], s["label_value"]) for s in cases[1].samples
    ]
    found = read_stored_mask(path, like=volume_folder / "images" / "b.nii.gz").values
    np.testing.assert_array_equal(found, before)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (1, 4, 3)])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".seg.nrrd"])
def test_mask_that_viewers_write_lies_on_its_picture(tmp_path, save, shape, suffix):
    shown = np.array([[0, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0]], np.uint8)
    save(tmp_path / "images" / "x.png", shown * 200)
    path = tmp_path / "masks" / f"x{suffix}"
    path.parent.mkdir()
    if suffix == ".nii.gz":
        nib.save(nib.Nifti1Image(shown.T.reshape(shape), np.eye(4)), path)
    else:
        nrrd.write(str(path), shown.T.reshape(shape))
    (case,) = read_folder(tmp_path, POLYP, 2)
    np.testing.assert_array_equal(LoadImageMaskd()(case.samples[0])["label"][0].numpy(), shown)


def test_mask_of_a_square_picture_in_the_case_lies_on_it(shared_dir):
    folder = shared_dir / "cases" / "png_nifti_square_2d" / "data"
    for case in read_folder(folder, POLYP, 2):
        (sample,) = case.samples
        label = LoadImageMaskd()(sample)["label"][0].numpy()
        drawn = np.asarray(nib.load(sample["label"]).dataobj).T
        np.testing.assert_array_equal(label, drawn > 0)
        image = read_image(Path(sample["image"]))
        inside, outside = image[label > 0].mean(), image[label == 0].mean()
        turned = image[label.T > 0].mean()
        assert abs(inside - outside) > abs(turned - outside), sample["image"]


def test_case_of_pictures_with_a_first_axis_of_one(shared_dir):
    cases = read_folder(shared_dir / "cases" / "nifti_1_x_y" / "data", POLYP, 2)
    assert all(len(case.samples) == 1 for case in cases)
    assert LoadImageMaskd()(cases[0].samples[0])["image"].shape == (3, 48, 40)
