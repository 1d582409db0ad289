"""Peculiarities of each dataset with one mask per picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from owners_trees import WRITERS, datalists, enlarge, read, write_camus, write_clinicdb, write_frame

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, LoadImageMaskd, build_datalists
from monai_tunevlseg.data.checks.split_leakage import find_shared_sequences
from monai_tunevlseg.data.io.reading import read_image
from monai_tunevlseg.data.issues import DatasetError
from monai_tunevlseg.data.sample_masks import mask_paths


def test_isic_the_owners_test_part_is_the_test_split(tmp_path):
    WRITERS["isic"](tmp_path)
    found = datalists("isic", tmp_path)
    assert all("Part1_Test_Data" in sample["image"] for sample in found["test"])
    assert all("Part1_Training_Data" in sample["image"] for split in ("train", "val") for sample in found[split])


def test_isic_masks_of_another_name_and_an_image_in_both_parts_are_named(tmp_path):
    WRITERS["isic"](tmp_path)
    masks = tmp_path / "ISBI2016_ISIC_Part1_Test_GroundTruth"
    (masks / "ISIC_0000063_Segmentation.png").rename(masks / "ISIC_0000063.png")
    with pytest.raises(ValueError, match=r"_Segmentation: ISIC_0000063\.png"):
        read("isic", tmp_path)
    (masks / "ISIC_0000063.png").rename(masks / "ISIC_0000063_Segmentation.png")
    for folder, file in (("Data", "ISIC_0000000.jpg"), ("GroundTruth", "ISIC_0000000_Segmentation.png")):
        shutil.copy(
            tmp_path / f"ISBI2016_ISIC_Part1_Training_{folder}" / file, tmp_path / f"{masks.name[:-11]}{folder}"
        )
    with pytest.raises(ValueError, match="stem ISIC_0000000"):
        datalists("isic", tmp_path)


def test_clinicdb_colors_survive_the_wrong_tag(tmp_path):
    WRITERS["clinicdb"](tmp_path / "tif")
    write_clinicdb(tmp_path / "png", form="png")
    for tif, png in zip(read("clinicdb", tmp_path / "tif"), read("clinicdb", tmp_path / "png"), strict=True):
        image = read_image(Path(tif.samples[0]["image"]))
        np.testing.assert_array_equal(image, read_image(Path(png.samples[0]["image"])))
        assert (image[..., 0] != image[..., 2]).any()


def test_clinicdb_sequences_are_the_owners_and_shared_ones_are_named():
    sequence_of = LAYOUTS["clinicdb"].sequence_of
    frames = [str(number) for number in range(1, 613)]
    assert len({sequence_of(frame) for frame in frames}) == 29
    assert [sequence_of(str(number)) for number in (1, 25, 26, 205, 206, 612)] == ["1", "1", "2", "10", "11", "29"]
    assert [sequence_of(stem) for stem in ("0", "613", "a1", "²")] == ["0", "613", "a1", "²"]
    (issue,) = find_shared_sequences({"train": ["1", "60"], "val": ["300"], "test": ["2", "70", "299"]}, sequence_of)
    assert "2 of the 3 test frames" in issue.message and "1, 15" in issue.message
    assert issue.files == ("2", "299")
    assert find_shared_sequences({"train": ["1"], "val": [], "test": ["26"]}, sequence_of) == []


def test_clinicdb_of_both_forms_reads_the_tiffs(tmp_path):
    write_clinicdb(tmp_path, form="png")
    write_clinicdb(tmp_path / "other")
    (tmp_path / "other" / "CVC-ClinicDB").rename(tmp_path / "CVC-ClinicDB" / "TIF")
    assert all(case.samples[0]["image"].endswith(".tif") for case in read("clinicdb", tmp_path))


@pytest.mark.parametrize("masks", ["masks", "labels"])
def test_dfu_under_the_plain_names(tmp_path, masks):
    truth = WRITERS["dfu"](tmp_path)
    root = tmp_path / "DFUC2022_train_release"
    (root / "DFUC2022_train_images").rename(root / "images")
    (root / "DFUC2022_train_masks").rename(root / masks)
    assert [case.stem for case in read("dfu", root)] == sorted(truth)


def test_busi_normal_images_have_an_empty_mask_and_name_no_kind(tmp_path):
    WRITERS["busi"](tmp_path)
    normal = [case.samples for case in read("busi", tmp_path) if case.stem.startswith("normal")]
    assert len(normal) == 3
    for (sample,) in normal:
        assert sample["text"] == sample["class_name"] == "breast tumor"
        assert not LoadImageMaskd()(sample)["label"].any()
    assert read("busi", tmp_path, ["benign tumor"])[-1].samples == normal[-1]


def test_busi_classes_can_be_chosen_and_united(tmp_path):
    truth = WRITERS["busi"](tmp_path)
    malignant = [case.stem for case in read("busi", tmp_path, ["malignant tumor"]) if case.samples]
    assert malignant == sorted(stem for stem in truth if not stem.startswith("benign"))
    both = read("busi", tmp_path, ["breast tumor"])
    assert [[sample["class_name"] for sample in case.samples] for case in both] == [["breast tumor"]] * 15
    every = read("busi", tmp_path, ["benign tumor", "breast tumor"])
    assert [sample["class_name"] for sample in every[0].samples] == ["benign tumor", "breast tumor"]
    assert [sample["class_name"] for sample in every[-1].samples] == ["breast tumor"]


def test_busi_without_the_normal_images(tmp_path):
    WRITERS["busi"](tmp_path)
    shutil.rmtree(tmp_path / "Dataset_BUSI_with_GT" / "normal")
    assert len(read("busi", tmp_path)) == 12


def test_busi_copy_with_folders_of_images_and_masks_reads_as_the_owners(tmp_path):
    WRITERS["busi"](tmp_path / "owner")
    WRITERS["busi"](tmp_path / "copy")
    for path in [*(tmp_path / "copy").rglob("*.png")]:
        folder = path.parent / ("mask" if "_mask" in path.name else "images")
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    found, expected = (
        {
            Path(sample["image"]).name: (sample["class_name"], [Path(mask).name for mask in mask_paths(sample)])
            for samples in build_datalists(
                DatasetSpec(tmp_path / name, LAYOUTS["busi"].info.class_names, layout="busi")
            ).values()
            for sample in samples
        }
        for name in ("copy", "owner")
    )
    assert found == expected and len(found) > 5


def test_busi_folders_without_images_are_named(tmp_path):
    for kind in ("benign", "malignant"):
        (tmp_path / kind / "other").mkdir(parents=True)
    with pytest.raises(ValueError, match="benign holds"):
        build_datalists(DatasetSpec(tmp_path, LAYOUTS["busi"].info.class_names, layout="busi"))


def test_busi_second_mask_of_another_size_is_named(tmp_path):
    WRITERS["busi"](tmp_path)
    mask = tmp_path / "Dataset_BUSI_with_GT" / "benign" / "benign (1)_mask_2.png"
    enlarge(mask)
    with pytest.raises(DatasetError, match=r"benign \(1\)_mask_2\.png is 40 x 48 .*benign \(1\)\.png 32 x 48"):
        read("busi", tmp_path)


def test_camus_forms_give_the_same_pixels_in_the_same_orientation(tmp_path):
    forms = {"nii.gz": {}, "mhd": {"form": "mhd"}, "zraw": {"form": "zraw"}, "deep": {"depth": True}}
    loaded = {}
    for form, options in forms.items():
        write_camus(tmp_path / form, **options)
        samples = [sample for case in read("camus", tmp_path / form) for sample in case.samples]
        loaded[form] = [LoadImageMaskd()(sample) for sample in samples[::7]]
    for form in forms:
        for one, other in zip(loaded["nii.gz"], loaded[form], strict=True):
            assert one["image"].shape == (3, 32, 48), "the columns come first in the file"
            for key in ("image", "label"):
                np.testing.assert_array_equal(one[key].numpy(), other[key].numpy())


def test_camus_uses_the_owners_lists_and_warns_of_omitted_patients(tmp_path):
    write_camus(tmp_path)
    found = datalists("camus", tmp_path)
    patients = {split: sorted({sample["group"] for sample in samples}) for split, samples in found.items()}
    assert patients == {
        "train": ["patient0001", "patient0002", "patient0027"],
        "val": ["patient0047"],
        "test": ["patient0200"],
    }
    lists = tmp_path / "CAMUS_public" / "database_split"
    (lists / "subgroup_testing.txt").write_text("patient0999\n")
    with pytest.warns(UserWarning) as caught, pytest.raises(ValueError, match="split 'test'"):
        build_datalists(DatasetSpec(tmp_path, LAYOUTS["camus"].info.class_names, layout="camus"))
    told = [str(warning.message) for warning in caught]
    assert [message.endswith("1 patients: patient0200.") for message in told].count(True) == 1
    assert [message.endswith("1 patients: patient0999.") for message in told].count(True) == 1
    (lists / "subgroup_validation.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"subgroup_validation\.txt"):
        datalists("camus", tmp_path)


def test_camus_lists_that_share_a_patient_are_warned_of(tmp_path):
    write_camus(tmp_path)
    lists = tmp_path / "CAMUS_public" / "database_split"
    (lists / "subgroup_validation.txt").write_text("patient0001\npatient0047\n")
    with pytest.warns(UserWarning, match="'train' and 'val' share 1: patient0001"):
        build_datalists(DatasetSpec(tmp_path, LAYOUTS["camus"].info.class_names, layout="camus"))


def test_camus_without_lists_draws_patients(tmp_path):
    write_camus(tmp_path, lists=False)
    with pytest.warns(UserWarning, match="400/50/50 .*500 groups.* 5;.* 3/1/1"):
        found = build_datalists(DatasetSpec(tmp_path, LAYOUTS["camus"].info.class_names, layout="camus"))
    assert {split: len({sample["group"] for sample in samples}) for split, samples in found.items()} == {
        "train": 3,
        "val": 1,
        "test": 1,
    }


def test_camus_the_older_archives_test_part_is_left_out_with_a_warning(tmp_path):
    write_camus(tmp_path, form="mhd")
    shutil.copytree(tmp_path / "CAMUS_public" / "training", tmp_path / "CAMUS_public" / "testing")
    with pytest.warns(UserWarning, match="testing is"):
        cases = read("camus", tmp_path)
    assert all("training" in sample["image"] for case in cases for sample in case.samples)


def test_camus_values_of_no_class_and_masks_of_several_slices_are_named(tmp_path):
    write_camus(tmp_path)
    root = tmp_path / "CAMUS_public" / "database_nifti" / "patient0002"
    write_frame(root / "patient0002_2CH_ED_gt", np.full((48, 32), 4, np.uint8), "nii.gz", False)
    for name in ("patient0002_4CH_ED", "patient0002_4CH_ED_gt"):
        write_frame(root / name, np.zeros((48, 32, 2), np.uint8), "nii.gz", False)
    with pytest.raises(DatasetError) as caught:
        read("camus", tmp_path)
    told = sorted(issue.message for issue in caught.value.issues)
    assert "patient0002_2CH_ED_gt.nii.gz holds the label values 4," in told[0]
    assert "patient0002_4CH_ED_gt.nii.gz has the size 2 x 32 x 48," in told[1]


def test_camus_a_file_of_another_patient_or_form_is_named(tmp_path):
    write_camus(tmp_path)
    root = tmp_path / "CAMUS_public" / "database_nifti"
    shutil.copy(root / "patient0002" / "patient0002_2CH_ED.nii.gz", root / "patient0001")
    with pytest.raises(DatasetError, match=r"patient0001 .*: patient0002_2CH_ED\.nii"):
        read("camus", tmp_path)


def test_camus_the_users_label_values_take_precedence(tmp_path):
    write_camus(tmp_path)
    cases = read("camus", tmp_path, ["myocardium"], label_values={"myocardium": 3})
    assert {sample["label_value"] for case in cases for sample in case.samples} == {3}
