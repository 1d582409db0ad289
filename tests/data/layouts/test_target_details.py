"""Peculiarities of the datasets that the literature tests transfer on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import target_trees
from owners_trees import WRITERS, datalists, read

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, build_datalists
from monai_tunevlseg.data.issues import DatasetError


def stems(name, folder):
    return [case.stem for case in read(name, folder)]


def images_of(samples):
    return {Path(sample["image"]).stem for sample in samples}


# ---------------------------------------------------------------- polyps


def test_cvc300_is_the_same_60_frames_in_both_forms(tmp_path):
    for number in range(1, 301):
        for part in ("bbdd", "gtpolyp"):
            target_trees.save(tmp_path / "endoscene" / "CVC-300" / part / f"{number}.bmp", target_trees.blob(number))
    expected = [str(number) for number in range(149, 209)]
    target_trees.write_pranet(tmp_path / "pranet", "CVC-300", expected)
    assert stems("cvc300", tmp_path / "endoscene") == stems("cvc300", tmp_path / "pranet") == expected


@pytest.mark.parametrize("name", ["colondb", "cvc300", "etis"])
def test_a_dataset_of_pranets_copy_is_read_from_its_own_folder_and_from_those_around(tmp_path, name):
    _, writer = next(form for form in target_trees.FORMS.values() if form[0] == name)
    writer(tmp_path)
    (inner,) = (path for path in (tmp_path / "TestDataset").iterdir() if path.name != "Kvasir")
    found = [read(name, folder) for folder in (tmp_path, tmp_path / "TestDataset", inner)]
    assert found[0] == found[1] == found[2]
    assert all(inner in Path(case.samples[0]["image"]).parents for case in found[0])


def test_colondb_reads_neither_contours_nor_regions_without_information(tmp_path):
    WRITERS["colondb"](tmp_path)
    for case in read("colondb", tmp_path):
        (sample,) = case.samples
        assert (Path(sample["image"]).name, Path(sample["label"]).name) == (f"{case.stem}.bmp", f"p{case.stem}.bmp")


def test_polypgen_tests_on_the_unseen_center_and_trains_on_the_others(tmp_path):
    WRITERS["polypgen"](tmp_path)
    found = datalists("polypgen", tmp_path)
    assert images_of(found["test"]) == set(target_trees.CENTERS["C6"])
    assert len(found["train"]) + len(found["val"]) == 17
    groups = {sample["group"] for sample in found["train"] + found["val"]}
    assert {"102OLC", "144OLC", "4_endocv2021", "EndoCV2021_001114"} <= groups


@pytest.mark.parametrize("left", ["C2", "C6"])
def test_polypgen_with_one_center_only_is_drawn(tmp_path, left):
    WRITERS["polypgen"](tmp_path)
    (root,) = tmp_path.iterdir()
    found = datalists("polypgen", root / f"data_{left}")
    assert sorted(map(len, found.values())) == [1, 1, 1]
    assert set().union(*map(images_of, found.values())) == set(target_trees.CENTERS[left])


@pytest.mark.parametrize("number", range(1, 7))
def test_a_center_of_polypgen_is_a_dataset_of_its_own(tmp_path, number):
    WRITERS["polypgen"](tmp_path)
    (root,) = tmp_path.iterdir()
    name = f"polypgen_c{number}"
    assert str(number) in LAYOUTS[name].info.title
    found = stems(name, root)
    assert found == sorted(target_trees.CENTERS[f"C{number}"]) == stems(name, root / f"data_C{number}")
    shutil.rmtree(root / f"data_C{number}")
    with pytest.raises(FileNotFoundError, match=f"data_C{number}/images_C{number}/"):
        read(name, root)


def test_polypgen_a_center_without_masks_is_named(tmp_path):
    WRITERS["polypgen"](tmp_path)
    (root,) = tmp_path.iterdir()
    shutil.rmtree(root / "data_C4" / "masks_C4")
    with pytest.raises(FileNotFoundError, match="masks_C4"):
        read("polypgen", root)


# ---------------------------------------------------------------- breast ultrasound


@pytest.mark.parametrize("name", ["busbra", "udiat"])
def test_tumors_have_the_classes_of_busi(tmp_path, name):
    truth = WRITERS[name](tmp_path)
    assert LAYOUTS[name].info.class_names == LAYOUTS["busi"].info.class_names
    malignant = [case.stem for case in read(name, tmp_path, ["malignant tumor"]) if case.samples]
    assert malignant == sorted(stem for stem, masks in truth.items() if "malignant tumor" in masks)
    every = read(name, tmp_path, ["benign tumor", "breast tumor"])
    for case in every:
        kinds = ["benign tumor"] if case.stem not in malignant else []
        assert [sample["class_name"] for sample in case.samples] == [*kinds, "breast tumor"]


@pytest.mark.parametrize(("name", "table"), [("busbra", "bus_data.csv"), ("udiat", "DatasetB.xlsx")])
def test_only_the_class_of_any_tumor_does_without_the_table(tmp_path, name, table):
    truth = WRITERS[name](tmp_path)
    (root,) = tmp_path.iterdir()
    (root / table).unlink()
    found = read(name, tmp_path, ["breast tumor"])
    assert [case.stem for case in found] == sorted(truth)
    assert {sample["class_name"] for case in found for sample in case.samples} == {"breast tumor"}
    with pytest.raises(FileNotFoundError, match=rf"{table}.* \[breast tumor\]"):
        read(name, tmp_path)


def test_images_of_unknown_kind_are_named_and_the_others_read(tmp_path):
    truth = WRITERS["busbra"](tmp_path)
    table = tmp_path / "BUSBRA" / "bus_data.csv"
    rows = table.read_text().replace("bus_0002-l,", "bus_9999-l,").replace('1,"cyst",benign', '1,"cyst",unknown')
    table.write_text(rows)
    with pytest.raises(DatasetError, match=r"bus_data\.csv .* 3 images .*bus_0001-l, bus_0001-r, bus_0002-l") as caught:
        read("busbra", tmp_path)
    (issue,) = caught.value.issues
    assert {Path(file).stem for file in issue.files} == {"bus_data", "bus_0001-l", "bus_0001-r", "bus_0002-l"}
    assert [case.stem for case in caught.value.cases] == sorted(truth)[3:]


def test_busbra_tests_on_the_owners_first_fold_and_divides_no_patient(tmp_path):
    truth = WRITERS["busbra"](tmp_path)
    found = datalists("busbra", tmp_path)
    patients = {split: {sample["group"] for sample in samples} for split, samples in found.items()}
    assert patients["test"] == {"0005", "0010"}
    assert patients["train"].isdisjoint(patients["val"]) and patients["val"]
    assert set().union(*map(images_of, found.values())) == set(truth)


def test_busbra_without_the_folds_is_drawn_by_patient(tmp_path):
    truth = WRITERS["busbra"](tmp_path)
    (tmp_path / "BUSBRA" / "5-fold-cv.csv").unlink()
    found = datalists("busbra", tmp_path)
    patients = [{sample["group"] for sample in samples} for samples in found.values()]
    assert list(map(len, patients)) == [10, 1, 1] and len(set.union(*patients)) == 12
    assert sum(map(len, found.values())) == len(truth)


# ---------------------------------------------------------------- skin lesions


def test_isic2018_has_the_owners_splits(tmp_path):
    WRITERS["isic2018"](tmp_path)
    found = datalists("isic2018", tmp_path)
    for split, part in (("train", "Training"), ("val", "Validation"), ("test", "Test")):
        folders = {Path(sample["image"]).parent.name for sample in found[split]}
        assert folders == {f"ISIC2018_Task1-2_{part}_Input"}
    assert [len(samples) for samples in found.values()] == [9, 2, 1]


def test_isic2018_splits_that_are_missing_are_drawn_from_the_training_part_with_a_warning(tmp_path):
    WRITERS["isic2018"](tmp_path)
    for folder in tmp_path.glob("*Test*"):
        shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "ISIC2018_Task1_Validation_GroundTruth")
    with pytest.warns(UserWarning) as caught:
        found = build_datalists(DatasetSpec(tmp_path, layout="isic2018"))
    told = [str(warning.message) for warning in caught]
    assert any("Validation_Input" in message and "Validation_GroundTruth" in message for message in told)
    assert any("no val and no test" in message for message in told)
    assert [len(samples) for samples in found.values()] == [7, 1, 1]


def test_ph2_a_case_without_the_folder_of_its_mask_is_named(tmp_path):
    WRITERS["ph2"](tmp_path)
    shutil.rmtree(tmp_path / "PH2Dataset" / "PH2 Dataset images" / "IMD005" / "IMD005_lesion")
    with pytest.raises(FileNotFoundError, match="IMD005_lesion"):
        read("ph2", tmp_path)
