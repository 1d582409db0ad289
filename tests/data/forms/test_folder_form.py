"""Every layout's tree is written in the uniform form, and read back by the layout `folder`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import multiclass_trees
import nibabel as nib
import numpy as np
import owners_trees
import pytest
from converted_datasets import assert_equal, convert, loaded, read
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, LoadImageMaskd, build_datalists

WRITERS = owners_trees.WRITERS | multiclass_trees.WRITERS
FORMS = {name: (name, writer) for name, writer in WRITERS.items()} | owners_trees.FORMS


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_folder_gives_the_same_samples(tmp_path, form):
    name, writer = FORMS[form]
    (tmp_path / "data").mkdir()
    writer(tmp_path / "data")
    written = convert(name, tmp_path / "data", tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build_datalists(DatasetSpec(tmp_path / "out", written.class_names))
    one, other = read(name, tmp_path / "data"), loaded(found)
    assert_equal(one, other)
    assert written.pairs == len(one)
    assert {key[3] for key in one} <= set(written.class_names)


@pytest.mark.parametrize(
    ("name", "form", "entries"),
    [
        ("kvasir", "binary masks", {"images", "masks", "splits.json"}),
        ("pascal_voc", "label maps", {"images", "masks", "splits.json", "dataset.json"}),
        ("camus", "label maps", {"images", "masks", "splits.json", "dataset.json"}),
        ("busi", "a folder of binary masks for each class", {"images", "masks", "splits.json"}),
        ("chexlocalize", "a folder of binary masks for each class", {"images", "masks", "splits.json"}),
    ],
)
def test_forms(tmp_path, name, form, entries):
    (tmp_path / "data").mkdir()
    WRITERS[name](tmp_path / "data")
    written = convert(name, tmp_path / "data", tmp_path / "new" / "out")
    assert written.masks == form
    assert {path.name for path in written.folder.iterdir()} == entries
    assert [path.name for path in written.folder.parent.iterdir()] == ["out"], "nothing is left over"
    if name == "pascal_voc":
        description = json.loads((written.folder / "dataset.json").read_text())
        assert description == {"class_names": list(LAYOUTS[name].info.class_names), "ignore_value": 255}
        mask = np.asarray(Image.open(next((written.folder / "masks").iterdir())))
        assert mask.dtype == np.uint8 and mask.max() == 255
    if name == "busi":
        assert written.class_names == ("benign tumor", "malignant tumor", "breast tumor")


def test_images_are_copied_as_they_are_and_metaimages_become_nifti(tmp_path):
    for form in ("clinicdb", "camus, mhd"):
        name, writer = FORMS[form]
        folder = tmp_path / form
        folder.mkdir()
        writer(folder)
        written = convert(name, folder, tmp_path / f"{form} out")
        images = sorted((written.folder / "images").iterdir())
        if name == "clinicdb":
            assert {path.read_bytes() for path in images} == {
                path.read_bytes() for path in folder.rglob("Original/*.tif")
            }
        else:
            assert {"".join(path.suffixes) for path in images} == {".nii.gz"}
            mask = nib.load(written.folder / "masks" / images[0].name)
            np.testing.assert_array_equal(mask.affine, nib.load(images[0]).affine)


def test_a_chosen_class_with_ignored_pixels_keeps_them(tmp_path):
    (tmp_path / "data").mkdir()
    truth = multiclass_trees.write_pascal_voc(tmp_path / "data", 60)
    written = convert("pascal_voc", tmp_path / "data", tmp_path / "out", class_names=["dog"])
    with_dogs = {stem for stem, masks in truth.items() if "dog" in masks}
    assert {path.stem for path in (written.folder / "images").iterdir()} == with_dogs
    found = build_datalists(DatasetSpec(written.folder, ["dog"]))
    assert {Path(sample["image"]).stem for samples in found.values() for sample in samples} == with_dogs
    sample = found["train"][0]
    np.testing.assert_array_equal(LoadImageMaskd()(sample)["label"][0], truth[Path(sample["image"]).stem]["dog"])


def test_splits_are_those_that_were_given(tmp_path):
    (tmp_path / "data").mkdir()
    stems = sorted(owners_trees.write_kvasir(tmp_path / "data"))
    splits = {"train": stems[2:], "val": stems[:1], "test": stems[1:2]}
    (tmp_path / "mine.json").write_text(json.dumps(splits))
    written = convert("kvasir", tmp_path / "data", tmp_path / "out", splits_file=tmp_path / "mine.json")
    assert json.loads((written.folder / "splits.json").read_text()) == splits


def test_datasets_that_the_form_cannot_hold_are_refused(tmp_path):
    lists = {split: [] for split in ("train", "val", "test")}
    for split, entries in lists.items():
        for number in (1, 2):
            entries.append({"img_name": f"{split}.png", "mask_name": f"mask_{number}/{split}.png"})
    for folder in ("images", "masks/mask_1", "masks/mask_2", "anns"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for split in lists if folder != "anns" else ():
            Image.new("L", (4, 3)).save(tmp_path / "data" / folder / f"{split}.png")
    for split, entries in lists.items():
        (tmp_path / "data" / "anns" / f"{split}.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="a/b"):
        convert("annotations", tmp_path / "data", tmp_path / "out", class_names=["a/b", "c"])
    for split, entries in lists.items():
        twice = [
            entry | {"mask_name": f"mask_1/{name}.png"} for entry, name in zip(entries, (split, "other"), strict=True)
        ]
        Image.new("L", (4, 3)).save(tmp_path / "data" / "masks" / "mask_1" / "other.png")
        (tmp_path / "data" / "anns" / f"{split}.json").write_text(json.dumps(twice))
    with pytest.raises(ValueError, match=r"\.png has"):
        convert("annotations", tmp_path / "data", tmp_path / "out", class_names=["a"])
