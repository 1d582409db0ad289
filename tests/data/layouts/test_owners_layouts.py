"""What the layout of every public dataset must do, on trees in the form that its owner distributes."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import labelled_trees
import numpy as np
import owners_trees
import pytest
from owners_trees import FORMS, FULL_SIZE, WRITERS
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, LoadSampled, MaskCoding, build_datalists
from monai_tunevlseg.data.problems import DatasetError
from monai_tunevlseg.data.reading import read_image, read_shape

PUBLIC = sorted(name for name in LAYOUTS if LAYOUTS[name].facts)
ALL_WRITERS = WRITERS | labelled_trees.WRITERS


def read(name, folder, names=None, **coding):
    return LAYOUTS[name].read(folder, MaskCoding(names or LAYOUTS[name].facts.class_names, **coding), 2)


def datalists(name, folder, **arguments):
    """Datalists of a small tree, which cannot have the published sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="there are .* to draw splits from")
        return build_datalists(folder, LAYOUTS[name].facts.class_names, layout=name, **arguments)


@pytest.fixture(params=PUBLIC)
def public(request, tmp_path):
    """(layout, folder, truth) of every public dataset; one without a writer fails."""
    folder = tmp_path / "data"
    folder.mkdir()
    return request.param, folder, ALL_WRITERS[request.param](folder)


@pytest.fixture(params=[*WRITERS, *FORMS])
def tree(request, tmp_path):
    """(layout, folder, truth) of every form of the datasets of one picture per mask."""
    name, writer = FORMS.get(request.param, (request.param, WRITERS.get(request.param)))
    folder = tmp_path / "data"
    folder.mkdir()
    return name, folder, writer(folder)


# ---------------------------------------------------------------- every public dataset


def test_facts_are_complete():
    for name in PUBLIC:
        facts = LAYOUTS[name].facts
        assert all(facts.__dict__.values()), f"{name} leaves something empty"
        assert facts.source.startswith("https://")
        assert facts.licence.endswith(".") and not facts.reference.endswith(".")
        assert len(facts.sizes) == 3 and all(isinstance(size, int) for size in facts.sizes)
        assert all(known == known.strip() for known in facts.class_names)


def test_the_facts_are_those_of_table_1():
    sizes = {name: LAYOUTS[name].facts.sizes for name in PUBLIC}
    assert sizes == {
        "bkai": (800, 100, 100),
        "busi": (624, 78, 78),
        "camus": (4800, 600, 600),
        "chexlocalize": (1279, 446, 452),
        "cityscapes": (34723, 0, 6005),
        "clinicdb": (490, 61, 61),
        "dfu": (1600, 200, 200),
        "isic": (810, 90, 379),
        "kvasir": (800, 100, 100),
        "pascal_voc": (2170, 0, 2148),
    }


def test_every_sample_has_its_keys_and_loads(public):
    name, folder, truth = public
    found = datalists(name, folder)
    for sample in (sample for samples in found.values() for sample in samples):
        assert {"image", "label", "text", "class_name"} <= sample.keys()
        loaded = LoadSampled()(sample)
        assert loaded["image"].shape[0] == 3 and loaded["label"].shape[0] == 1
        assert set(np.unique(loaded["label"].numpy())) <= {0, 1, 255}
        assert 0 <= loaded["image"].min() < loaded["image"].max() <= 1


def test_a_group_is_never_divided(public):
    name, folder, _ = public
    found = datalists(name, folder)
    groups = [{sample.get("group", sample["image"]) for sample in samples} for samples in found.values()]
    assert all(groups) and sum(map(len, groups)) == len(set.union(*groups))


def test_splits_do_not_depend_on_where_the_dataset_lies_nor_on_the_classes(public, tmp_path):
    name, folder, _ = public
    first = datalists(name, folder, write_splits_to=tmp_path / "a.json")
    moved = folder.rename(tmp_path / "elsewhere")
    second = datalists(name, moved, write_splits_to=tmp_path / "b.json")
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    renamed = json.loads(json.dumps(first).replace(str(folder), str(moved)))
    assert renamed == second


def test_neutral_text_replaces_texts_and_leaves_classes(public):
    name, folder, _ = public
    plain, neutral = datalists(name, folder), datalists(name, folder, neutral_text="thing")
    for split, samples in neutral.items():
        assert {sample["text"] for sample in samples} == {"thing"}
        assert samples == [sample | {"text": "thing"} for sample in plain[split]]


def test_published_texts_and_unknown_classes_are_refused(public):
    name, folder, _ = public
    with pytest.raises(ValueError, match=f"text_source 'p1' needs published texts, which the layout '{name}' does not"):
        datalists(name, folder, text_source="p1")
    with pytest.raises(ValueError, match="has no class 'dragon': class_names may be "):
        read(name, folder, ["dragon"])


# ---------------------------------------------------------------- one picture per mask


def test_every_mask_is_read_as_it_was_written(tree):
    name, folder, truth = tree
    cases = read(name, folder)
    assert [case.stem for case in cases] == sorted(truth)
    for case in cases:
        assert {sample["class_name"] for sample in case.samples} == set(truth[case.stem])
        for sample in case.samples:
            loaded = LoadSampled()(sample)
            np.testing.assert_array_equal(loaded["label"][0].numpy(), truth[case.stem][sample["class_name"]])
            assert sample["text"] == sample["class_name"]


def test_the_folder_around_and_the_innermost_give_the_same(tree):
    name, folder, _ = tree
    whole = read(name, folder)
    depth = {"kvasir": 1, "clinicdb": 1, "dfu": 1, "busi": 1, "camus": 2}.get(name, 0)
    for _ in range(depth):
        (folder,) = (path for path in folder.iterdir() if path.is_dir() and path.name != "database_split")
        assert read(name, folder) == whole


def test_a_folder_without_the_dataset_is_refused_by_name(tmp_path):
    for name in WRITERS:
        with pytest.raises(FileNotFoundError, match=rf"has .*\(dataset {name}\); unpack the dataset there"):
            read(name, tmp_path)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"isic", "camus", "bkai"}))
def test_two_copies_side_by_side_are_refused(tmp_path, name):
    for copy in ("a", "b"):
        WRITERS[name](tmp_path / copy)
        (inner,) = (tmp_path / copy).iterdir()
        inner.rename(tmp_path / f"copy {copy}")
        (tmp_path / copy).rmdir()
    with pytest.raises(ValueError, match="in several of its folders: copy a, copy b; set dataset_dir to one"):
        read(name, tmp_path)


def test_everything_that_is_wrong_is_reported_at_once_and_the_rest_is_read(tree):
    name, folder, truth = tree
    good = read(name, folder)
    lonely, orphan, damaged, other = (case.samples[0] for case in good[:4])
    lonely_mask, other_mask = (_first_mask(sample) for sample in (lonely, other))
    for mask in [lonely["label"]] if isinstance(lonely["label"], str) else lonely["label"]:
        _remove(Path(mask))
    _remove(Path(orphan["image"]))
    Path(damaged["image"]).write_bytes(b"no picture at all")
    _enlarge(other_mask)
    stray = Path(damaged["image"]).parent / "notes.txt"
    stray.write_text("")
    with pytest.raises(DatasetError) as caught:
        read(name, folder)
    told = {problem.kind: problem for problem in caught.value.problems}
    assert set(told) == {"missing", "unreadable", "size", "extra"}
    assert told["unreadable"].files == (damaged["image"],)
    assert str(other_mask) in told["size"].files and other_mask.name in told["size"].message
    assert told["extra"].files == (str(stray),) and "notes.txt" in told["extra"].message
    missing = [problem for problem in caught.value.problems if problem.kind == "missing"]
    named = " ".join(problem.message for problem in missing)
    assert good[0].stem in named and good[1].stem in named
    assert not lonely_mask.exists()
    assert caught.value.cases == good[4:]


def _first_mask(sample):
    return Path(sample["label"] if isinstance(sample["label"], str) else sample["label"][0])


def _pixels(path):
    """The file with a mask's pixels: beside a MetaImage's header, else the mask itself."""
    return next((path.with_suffix(s) for s in (".raw", ".zraw") if path.with_suffix(s).exists()), path)


def _remove(path):
    _pixels(path).unlink()
    path.unlink(missing_ok=True)


def _enlarge(path):
    """Replace a mask by one of another size."""
    size = (read_shape(path)[0] + 8, read_shape(path)[1])
    if path.suffix in (".mhd", ".gz"):
        form = "nii.gz" if path.suffix == ".gz" else "zraw" if path.with_suffix(".zraw").exists() else "mhd"
        stem = path.with_name(path.name.removesuffix(".nii.gz").removesuffix(".mhd"))
        owners_trees._write_frame(stem, np.ones(size, np.uint8), form, len(read_shape(path)) == 3)
    else:
        Image.fromarray(np.zeros(size, np.uint8)).save(path)


def test_a_mask_that_ends_early_is_named_when_it_is_read(tree):
    name, folder, _ = tree
    sample = read(name, folder)[0].samples[0]
    mask = _first_mask(sample)
    content = _pixels(mask).read_bytes()
    _pixels(mask).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=mask.name.replace("(", r"\(").replace(")", r"\)")):
        read(name, folder)
        LoadSampled()(sample)


def test_label_values_and_thresholds_that_do_not_fit_are_refused(tree):
    name, folder, _ = tree
    chosen = LAYOUTS[name].facts.class_names[0]
    wrong = {"mask_threshold": 9} if name == "camus" else {"label_values": {chosen: 1}}
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}.* no meaning; set .*{next(iter(wrong))} to null"):
        read(name, folder, [chosen], **wrong)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"camus"}))
def test_a_threshold_of_the_user_goes_first(tmp_path, name):
    WRITERS[name](tmp_path)
    cases = read(name, tmp_path, LAYOUTS[name].facts.class_names[:1], mask_threshold=17)
    assert {sample["mask_threshold"] for case in cases for sample in case.samples} == {17}


@pytest.mark.parametrize("name", sorted(FULL_SIZE))
def test_full_size_gives_the_sizes_of_table_1(tmp_path, name):
    FULL_SIZE[name](tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build_datalists(tmp_path / "data", LAYOUTS[name].facts.class_names, layout=name)
    assert tuple(len(samples) for samples in found.values()) == LAYOUTS[name].facts.sizes


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"camus"}))
def test_a_subset_is_split_in_the_same_shares_with_a_warning(tmp_path, name):
    WRITERS[name](tmp_path)
    with pytest.warns(UserWarning, match="images to draw splits from where the published sizes .* take"):
        found = build_datalists(tmp_path, LAYOUTS[name].facts.class_names, layout=name)
    sizes = [len(samples) for samples in found.values()]
    assert sizes == {"isic": [8, 1, 3], "busi": [11, 2, 2]}.get(name, [10, 1, 1])


def test_splits_in_the_folder_go_before_the_owners(tmp_path):
    stems = sorted(WRITERS["isic"](tmp_path))
    mine = {"train": stems[3:], "val": stems[:1], "test": stems[1:3]}
    (tmp_path / "splits.json").write_text(json.dumps(mine))
    found = datalists("isic", tmp_path)
    assert {split: [Path(sample["image"]).stem for sample in samples] for split, samples in found.items()} == mine


# ---------------------------------------------------------------- the datasets' own


def test_isic_the_owners_test_part_is_the_test_split(tmp_path):
    WRITERS["isic"](tmp_path)
    found = datalists("isic", tmp_path)
    assert all("Part1_Test_Data" in sample["image"] for sample in found["test"])
    assert all("Part1_Training_Data" in sample["image"] for split in ("train", "val") for sample in found[split])


def test_isic_masks_of_another_name_and_an_image_in_both_parts_are_named(tmp_path):
    WRITERS["isic"](tmp_path)
    masks = tmp_path / "ISBI2016_ISIC_Part1_Test_GroundTruth"
    (masks / "ISIC_0000063_Segmentation.png").rename(masks / "ISIC_0000063.png")
    with pytest.raises(ValueError, match=r"names do not end in _Segmentation: ISIC_0000063\.png"):
        read("isic", tmp_path)
    (masks / "ISIC_0000063.png").rename(masks / "ISIC_0000063_Segmentation.png")
    for folder, file in (("Data", "ISIC_0000000.jpg"), ("GroundTruth", "ISIC_0000000_Segmentation.png")):
        shutil.copy(
            tmp_path / f"ISBI2016_ISIC_Part1_Training_{folder}" / file, tmp_path / f"{masks.name[:-11]}{folder}"
        )
    with pytest.raises(ValueError, match="several images with the stem ISIC_0000000"):
        datalists("isic", tmp_path)


def test_clinicdb_colours_survive_the_wrong_tag(tmp_path):
    WRITERS["clinicdb"](tmp_path / "tif")
    owners_trees.write_clinicdb(tmp_path / "png", form="png")
    for tif, png in zip(read("clinicdb", tmp_path / "tif"), read("clinicdb", tmp_path / "png"), strict=True):
        image = read_image(Path(tif.samples[0]["image"]))
        np.testing.assert_array_equal(image, read_image(Path(png.samples[0]["image"])))
        assert (image[..., 0] != image[..., 2]).any()


def test_clinicdb_of_both_forms_reads_the_tiffs(tmp_path):
    owners_trees.write_clinicdb(tmp_path, form="png")
    owners_trees.write_clinicdb(tmp_path / "other")
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
        assert not LoadSampled()(sample)["label"].any()
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


def test_busi_second_mask_of_another_size_is_named(tmp_path):
    WRITERS["busi"](tmp_path)
    mask = tmp_path / "Dataset_BUSI_with_GT" / "benign" / "benign (1)_mask_2.png"
    _enlarge(mask)
    with pytest.raises(DatasetError, match=r"benign \(1\)_mask_2\.png is 40 x 48 and benign \(1\)\.png 32 x 48"):
        read("busi", tmp_path)


def test_camus_forms_give_the_same_pixels_in_the_same_orientation(tmp_path):
    forms = {"nii.gz": {}, "mhd": {"form": "mhd"}, "zraw": {"form": "zraw"}, "deep": {"depth": True}}
    loaded = {}
    for form, options in forms.items():
        owners_trees.write_camus(tmp_path / form, **options)
        samples = [sample for case in read("camus", tmp_path / form) for sample in case.samples]
        loaded[form] = [LoadSampled()(sample) for sample in samples[::7]]
    for form in forms:
        for one, other in zip(loaded["nii.gz"], loaded[form], strict=True):
            assert one["image"].shape == (3, 48, 32), "the columns come first, as in the file"
            for key in ("image", "label"):
                np.testing.assert_array_equal(one[key].numpy(), other[key].numpy())


def test_camus_takes_the_owners_lists_and_warns_of_what_they_leave_out(tmp_path):
    owners_trees.write_camus(tmp_path)
    found = datalists("camus", tmp_path)
    patients = {split: sorted({sample["group"] for sample in samples}) for split, samples in found.items()}
    assert patients == {
        "train": ["patient0001", "patient0002", "patient0027"],
        "val": ["patient0047"],
        "test": ["patient0200"],
    }
    lists = tmp_path / "CAMUS_public" / "database_split"
    (lists / "subgroup_testing.txt").write_text("patient0999\n")
    with pytest.warns(UserWarning) as caught, pytest.raises(ValueError, match="the split 'test' is empty"):
        build_datalists(tmp_path, LAYOUTS["camus"].facts.class_names, layout="camus")
    told = " ".join(str(warning.message) for warning in caught)
    assert "does not list 1 patients: patient0200" in told
    assert "lists, though they are not there, 1 patients: patient0999" in told
    (lists / "subgroup_validation.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no file .*subgroup_validation\.txt"):
        datalists("camus", tmp_path)


def test_camus_lists_that_share_a_patient_are_warned_of(tmp_path):
    owners_trees.write_camus(tmp_path)
    lists = tmp_path / "CAMUS_public" / "database_split"
    (lists / "subgroup_validation.txt").write_text("patient0001\npatient0047\n")
    with pytest.warns(UserWarning, match="the splits 'train' and 'val' share 1: patient0001"):
        build_datalists(tmp_path, LAYOUTS["camus"].facts.class_names, layout="camus")


def test_camus_without_lists_draws_patients(tmp_path):
    owners_trees.write_camus(tmp_path, lists=False)
    with pytest.warns(UserWarning, match="there are 5 groups to draw splits from .* 400/50/50 take 500.*: 3/1/1"):
        found = build_datalists(tmp_path, LAYOUTS["camus"].facts.class_names, layout="camus")
    assert {split: len({sample["group"] for sample in samples}) for split, samples in found.items()} == {
        "train": 3,
        "val": 1,
        "test": 1,
    }


def test_camus_the_older_archives_test_part_is_left_out_with_a_warning(tmp_path):
    owners_trees.write_camus(tmp_path, form="mhd")
    shutil.copytree(tmp_path / "CAMUS_public" / "training", tmp_path / "CAMUS_public" / "testing")
    with pytest.warns(UserWarning, match="testing is left out: the owner gives no masks"):
        cases = read("camus", tmp_path)
    assert all("training" in sample["image"] for case in cases for sample in case.samples)


def test_camus_values_of_no_class_and_masks_of_several_slices_are_named(tmp_path):
    owners_trees.write_camus(tmp_path)
    root = tmp_path / "CAMUS_public" / "database_nifti" / "patient0002"
    owners_trees._write_frame(root / "patient0002_2CH_ED_gt", np.full((48, 32), 4, np.uint8), "nii.gz", False)
    for name in ("patient0002_4CH_ED", "patient0002_4CH_ED_gt"):
        owners_trees._write_frame(root / name, np.zeros((48, 32, 2), np.uint8), "nii.gz", False)
    with pytest.raises(DatasetError) as caught:
        read("camus", tmp_path)
    told = sorted(problem.message for problem in caught.value.problems)
    assert "patient0002_2CH_ED_gt.nii.gz holds the label values 4, which mean no class of CAMUS" in told[0]
    assert "patient0002_4CH_ED_gt.nii.gz has the size 48 x 32 x 2 where one picture is expected" in told[1]


def test_camus_a_file_of_another_patient_or_form_is_named(tmp_path):
    owners_trees.write_camus(tmp_path)
    root = tmp_path / "CAMUS_public" / "database_nifti"
    shutil.copy(root / "patient0002" / "patient0002_2CH_ED.nii.gz", root / "patient0001")
    with pytest.raises(DatasetError, match=r"patient0001 holds files that are none of CAMUS: patient0002_2CH_ED\.nii"):
        read("camus", tmp_path)


def test_camus_label_values_of_the_user_go_first(tmp_path):
    owners_trees.write_camus(tmp_path)
    cases = read("camus", tmp_path, ["myocardium"], label_values={"myocardium": 3})
    assert {sample["label_value"] for case in cases for sample in case.samples} == {3}
