"""Folders of various names, with the owner's splits, endings of masks, and unreadable files."""

from __future__ import annotations

import json
import os
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from monai_tunevlseg.data import DatasetSpec, build_datalists
from monai_tunevlseg.data.datalists import build_inference_datalist
from monai_tunevlseg.data.layouts._discovery import common_ending, find_parts

FORMS = [
    ("images", "masks"),
    ("Original", "Ground Truth"),
    ("image", "GT"),
    ("imgs", "labels"),
    ("Data/Images", "Data/Segmentation_Masks"),
    ("a/b/img", "a/b/ground-truth"),
]
SPLIT_FORMS = [
    ("{split}/images", "{split}/masks"),
    ("images/{split}", "masks/{split}"),
    ("{split}_images", "{split}_labels"),
    ("Data/{split}/Original", "Data/{split}/GT"),
]


def put(root: Path, images: str, masks: str, stems, ending: str = "", suffix: str = ".png") -> None:
    for folder in (images, masks):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(stems):
        Image.fromarray(np.full((4, 6, 3), number, np.uint8)).save(root / images / f"{stem}{suffix}")
        Image.fromarray(np.eye(4, 6, dtype=np.uint8) * 255).save(root / masks / f"{stem}{ending}{suffix}")


def stems(split) -> set[str]:
    return {Path(sample["image"]).stem for sample in split}


def own(samples) -> bool:
    """Whether each sample's mask is the one that was written for its image."""
    return all(Path(sample["label"]).stem.startswith(Path(sample["image"]).stem) for sample in samples)


@pytest.mark.parametrize(("images", "masks"), FORMS)
def test_usual_names_are_found(tmp_path, images, masks):
    put(tmp_path, images, masks, range(10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build_datalists(DatasetSpec(tmp_path, ["polyp"]))
    assert sum(map(len, found.values())) == 10
    assert Path(found["train"][0]["label"]).parent == tmp_path / masks


@pytest.mark.parametrize(("images", "masks"), SPLIT_FORMS)
@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "Testing")])
def test_the_owners_splits_are_taken(tmp_path, images, masks, names):
    for start, name in zip((0, 10, 20), names, strict=True):
        put(tmp_path, images.format(split=name), masks.format(split=name), range(start, start + 3))
    found = build_datalists(DatasetSpec(tmp_path, ["polyp"]))
    assert [stems(found[split]) for split in ("train", "val", "test")] == [
        {"0", "1", "2"},
        {"10", "11", "12"},
        {"20", "21", "22"},
    ]


def test_equal_names_in_two_splits_stay_apart(tmp_path):
    for split in ("train", "test"):
        put(tmp_path, f"{split}/images", f"{split}/masks", range(10), ending="_mask")
    with pytest.warns(UserWarning, match="no val: .*train"):
        found = build_datalists(DatasetSpec(tmp_path, ["polyp"]), write_splits_to=tmp_path / "s.json")
    assert [len(found[split]) for split in ("train", "val", "test")] == [9, 1, 10]
    for split, samples in found.items():
        part = "test" if split == "test" else "train"
        assert all(f"/{part}/" in sample[key] for sample in samples for key in ("image", "label"))
        assert own(samples)
    assert build_datalists(DatasetSpec(tmp_path, ["polyp"], splits_file=tmp_path / "s.json")) == found


def test_ph2_needs_no_step_of_the_users_own(tmp_path):
    """Data/{Train,Test}/{Original,GT}, IMD002.bmp and IMD002_lesion.bmp, as in a copy of PH2."""
    put(tmp_path, "Data/Train/Original", "Data/Train/GT", [f"IMD{n:03d}" for n in range(20)], "_lesion", ".bmp")
    put(tmp_path, "Data/Test/Original", "Data/Test/GT", [f"IMD{n:03d}" for n in range(50, 55)], "_lesion", ".bmp")
    with pytest.warns(UserWarning, match="'_lesion'"):
        found = build_datalists(DatasetSpec(tmp_path, ["skin lesion"]))
    assert [len(found[split]) for split in ("train", "val", "test")] == [18, 2, 5]
    assert stems(found["test"]) == {f"IMD{n:03d}" for n in range(50, 55)}
    assert all(own(samples) for samples in found.values())


def test_a_part_without_masks_is_left_out_with_a_warning(tmp_path):
    """FUSeg: train and validation with labels, test without."""
    put(tmp_path, "train/images", "train/labels", range(20))
    put(tmp_path, "validation/images", "validation/labels", range(30, 34))
    put(tmp_path, "test/images", "unused", range(40, 44))
    with pytest.warns(UserWarning) as caught:
        found = build_datalists(DatasetSpec(tmp_path, ["wound"]))
    messages = [str(warning.message) for warning in caught]
    assert any(str(tmp_path / "test") in message for message in messages)
    assert any("has no test" in message for message in messages)
    assert [len(found[split]) for split in ("train", "val", "test")] == [18, 4, 2]


def test_splits_files_with_two_keys_are_completed(tmp_path):
    put(tmp_path, "images", "masks", range(40))
    names = [str(number) for number in range(40)]
    (tmp_path / "splits.json").write_bytes(
        b"\xef\xbb\xbf" + json.dumps({"train": names[:30], "val": names[30:]}).encode()
    )
    with pytest.warns(UserWarning, match="has no test"):
        found = build_datalists(DatasetSpec(tmp_path, ["polyp"]))
    assert stems(found["val"]) == set(names[30:])
    assert (len(found["train"]), len(found["test"])) == (27, 3)
    assert stems(found["train"]) | stems(found["test"]) == set(names[:30])


@pytest.mark.parametrize("ending", ["_lesion", "_mask", "-mask", "_seg", "_segmentation", "_class_polyp", " (GT)"])
def test_endings_of_masks_are_found(tmp_path, ending):
    put(tmp_path, "images", "masks", [f"case{number}0" for number in range(10)], ending)
    with pytest.warns(UserWarning, match="end in"):
        found = build_datalists(DatasetSpec(tmp_path, ["polyp"]))
    assert sum(map(len, found.values())) == 10
    assert all(own(samples) for samples in found.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_datalists(DatasetSpec(tmp_path, ["polyp"], mask_ending=ending)) == found


@given(
    st.sets(st.text("ab01_", min_size=1, max_size=5), min_size=1, max_size=8),
    st.text("ab_-", min_size=1, max_size=4),
)
def test_an_ending_pairs_every_mask_with_its_image_or_is_ambiguous(images, ending):
    masks = {f"{stem}{ending}" for stem in images}
    if masks & images:
        assert common_ending(images, masks) == ""
        return
    try:
        found = common_ending(images, masks)
    except ValueError as error:
        assert "mask_ending" in str(error)
    else:
        assert {stem.removesuffix(found) for stem in masks} == images


def test_an_ending_that_is_not_clear_names_the_option(tmp_path):
    put(tmp_path, "images", "masks", ["a_b"], "_c")
    Image.new("RGB", (6, 4)).save(tmp_path / "images" / "a.png")
    with pytest.raises(ValueError, match="'_b_c' or '_c' .*mask_ending"):
        build_datalists(DatasetSpec(tmp_path, ["polyp"]))


def test_two_folders_that_could_be_meant_are_named(tmp_path):
    put(tmp_path, "img", "GT", "a")
    put(tmp_path, "img", "labels", "a")
    with pytest.raises(ValueError, match="masks: GT, labels;"):
        find_parts(tmp_path)
    put(tmp_path, "img", "masks", "a")
    assert find_parts(tmp_path)[0].masks == tmp_path / "masks"
    put(tmp_path / "other" / "one", "images", "masks", "a")
    put(tmp_path / "other" / "two", "images", "masks", "a")
    with pytest.raises(ValueError, match="one, two; .*dataset_dir"):
        find_parts(tmp_path / "other")


def test_unicode_forms_of_one_name_belong_together(tmp_path):
    put(tmp_path, "images", "masks", [f"Müller_é{number}" for number in range(10)])
    for path in (tmp_path / "masks").iterdir():
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    names = [unicodedata.normalize("NFD", f"Müller_é{number}") for number in range(10)]
    (tmp_path / "splits.json").write_text(json.dumps({"train": names[:8], "val": names[8:9], "test": names[9:]}))
    assert [len(samples) for samples in build_datalists(DatasetSpec(tmp_path, ["polyp"])).values()] == [8, 1, 1]


def test_unusable_files_are_named_with_a_remedy(tmp_path):
    put(tmp_path, "images", "masks", range(3))
    (tmp_path / "images" / "CT.1.2.3").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "images" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    Path(os.fsdecode(os.fsencode(tmp_path / "images") + b"/M\xfcller.png")).write_bytes(b"")
    with pytest.raises(ValueError) as caught:
        build_datalists(DatasetSpec(tmp_path, ["polyp"]))
    messages = {issue.message for issue in caught.value.issues}
    for expected in (r"CT.1.2.3; convert", "lost.png; restore", r"udcfcller.png'; rename"):
        assert any(expected in message for message in messages), expected
    str(caught.value).encode()


def test_skipped_subfolders_are_named(tmp_path):
    put(tmp_path, "images", "masks", range(10))
    put(tmp_path, "images/more", "masks/more", range(10))
    with pytest.warns(UserWarning, match="images .*: more;"):
        build_datalists(DatasetSpec(tmp_path, ["polyp"]))
    put(tmp_path / "bkai", "test", "other", range(2))
    with pytest.raises(ValueError, match="dataset_dir .*other, test"):
        build_inference_datalist(tmp_path / "bkai")


def test_missing_partners_come_with_the_way_out(tmp_path):
    put(tmp_path, "images", "masks", range(10))
    (tmp_path / "masks" / "3.png").unlink()
    with pytest.raises(ValueError, match=r"\b1 images without .*: 3; .*\(all 0\)"):
        build_datalists(DatasetSpec(tmp_path, ["polyp"]))
    Image.new("L", (3, 3)).save(tmp_path / "masks" / "3.png")
    with pytest.raises(ValueError, match=r"3 x 3 .*3\.png 4 x 6; .*crop"):
        build_datalists(DatasetSpec(tmp_path, ["polyp"]))


def test_a_folder_as_full_as_that_of_the_images_makes_mask_ambiguous(tmp_path):
    put(tmp_path, "training/images", "training/mask", range(3))
    put(tmp_path, "training/images", "training/1st_manual", range(3))
    with pytest.raises(ValueError, match="masks: 1st_manual, mask;"):
        find_parts(tmp_path)
    (tmp_path / "training" / "1st_manual").rename(tmp_path / "training" / "masks")
    assert [part.masks.name for part in find_parts(tmp_path)] == ["masks"]
    put(tmp_path, "test/images", "test/mask", range(3, 6))
    with pytest.raises(ValueError, match="test/mask, training/masks;"):
        find_parts(tmp_path)


@pytest.mark.parametrize(("masks", "count"), [("mask", 2), ("GT", 3)])
def test_a_folder_with_fewer_masks_or_beside_a_plain_name_is_ignored(tmp_path, masks, count):
    put(tmp_path, "images", masks, range(3))
    put(tmp_path, "overlays", "edges", range(count))
    assert [part.masks.name for part in find_parts(tmp_path)] == [masks]


def test_images_and_masks_in_one_folder_are_refused_with_what_may_stay(tmp_path):
    put(tmp_path, ".", ".", range(10), ending="-mask")
    with pytest.raises(FileNotFoundError, match="20 image files; .*-mask"):
        build_datalists(DatasetSpec(tmp_path, ["lung"]))
    for path in list(tmp_path.iterdir()):
        folder = tmp_path / ("masks" if path.stem.endswith("-mask") else "images")
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    with pytest.warns(UserWarning, match="'-mask'"):
        found = build_datalists(DatasetSpec(tmp_path, ["lung"]))
    assert sum(map(len, found.values())) == 10 and all(own(samples) for samples in found.values())


def test_endings_of_images_and_masks_are_refused_with_an_example_that_fits(tmp_path):
    put(tmp_path, "images", "other", [f"{number}_training" for number in range(21, 41)])
    put(tmp_path, "more", "masks", [f"{number}_manual1" for number in range(21, 41)])
    with pytest.raises(ValueError, match=r"21_manual1\.png to 21_training\.png\."):
        build_datalists(DatasetSpec(tmp_path, ["vessel"]))
