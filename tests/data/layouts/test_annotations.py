"""The published layout, with small trees and with the lists of the four published datasets."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from multiclass_trees import write_annotations
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, LoadImageMaskd, MaskEncoding, build_datalists

CAMUS = ["left ventricular cavity", "myocardium", "left atrium cavity"]
BUSI = ["benign tumor", "malignant tumor"]


def read(folder, names, **encoding):
    return LAYOUTS["annotations"].read(folder, MaskEncoding(names, **encoding), 2)


def write_lists(folder: Path, lists: dict[str, list[dict]]) -> Path:
    """The lists, and a picture and a mask for every name in them."""
    (folder / "anns").mkdir(parents=True)
    for split, entries in lists.items():
        (folder / "anns" / f"{split}.json").write_text(json.dumps(entries))
        for entry in entries:
            for path in (folder / "images" / entry["img_name"], folder / "masks" / entry["mask_name"]):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (4, 3)).save(path)
    return folder


def pair(name, mask=None, **texts):
    return {"img_name": name, "mask_name": mask or name, "prompts": texts}


def published(shared_dir, name):
    lists = {path.stem: json.loads(path.read_text()) for path in (shared_dir / "annotations" / name).glob("*.json")}
    if name == "camus":  # has no published train.json
        masks = {CAMUS[number - 1]: f"mask_{number}/patient0450_2CH_ED_gt.png" for number in (1, 2, 3)}
        lists["train"] = [pair("patient0450_2CH_ED.png", mask, p6=f"{name}.") for name, mask in masks.items()]
    return lists


@pytest.mark.parametrize(
    ("name", "info", "names"),
    [
        ("kvasir_polyp", (800, 100, 100), ["polyp"]),
        ("clinicdb_polyp", (490, 61, 61), ["polyp"]),
        ("busi", (624, 78, 78), ["breast tumor"]),
    ],
)
def test_the_published_lists_have_the_sizes_of_table_1(shared_dir, tmp_path, name, info, names):
    folder = write_lists(tmp_path, published(shared_dir, name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build_datalists(DatasetSpec(folder, names, layout="annotations"))
    assert tuple(len(found[split]) for split in ("train", "val", "test")) == info
    assert {sample["class_name"] for samples in found.values() for sample in samples} == set(names)


def test_published_camus_has_the_sizes_of_table_1_and_shared_names_warn(shared_dir, tmp_path):
    folder = write_lists(tmp_path, published(shared_dir, "camus"))
    with pytest.warns(UserWarning, match=r"\b200 images .*\bval .*\btest\b.*: patient0001_2CH_ED"):
        found = build_datalists(DatasetSpec(folder, CAMUS, layout="annotations", text_source="p6"))
    assert (len(found["val"]), len(found["test"])) == (600, 600)
    for split in ("val", "test"):
        assert Counter(sample["class_name"] for sample in found[split]) == dict.fromkeys(CAMUS, 200)
        for sample in found[split]:
            assert f"mask_{CAMUS.index(sample['class_name']) + 1}/" in sample["label"]
            assert sample["class_name"] in sample["text"].lower()
    # the same names, but other patients: each list is kept
    assert "seventy-three-year-old male" in found["test"][0]["text"]
    assert "fifty-six-year-old female" in found["val"][0]["text"]


def test_published_texts_refuse_mask_folders_in_the_wrong_order(shared_dir, tmp_path):
    lists = published(shared_dir, "camus")
    del lists["val"][6:], lists["test"][6:]
    folder = write_lists(tmp_path, lists)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="'myocardium'.*'left ventricular"):
            read(folder, ["myocardium", "left ventricular cavity", "left atrium cavity"])
        values = {"myocardium": 2, "left ventricular cavity": 1, "left atrium cavity": 3}
        named = read(folder, list(values), label_values=values)
        assert named[-1].samples[0]["class_name"] == "left ventricular cavity"
        (atrium,) = {
            Path(sample["label"]).parent.name
            for case in read(folder, ["left atrium cavity"], label_values={"left atrium cavity": 3})
            for sample in case.samples
        }
        assert atrium == "mask_3"
        with pytest.raises(ValueError, match=r"mask_1, mask_2, mask_3.*\['heart'\]"):
            read(folder, ["heart"])
        with pytest.raises(ValueError, match=r"cover mask_3:"):
            read(folder, CAMUS[:2])


def test_busi_has_its_classes_in_the_names_except_of_normal_images(shared_dir, tmp_path):
    lists = {name: entries[:40] for name, entries in published(shared_dir, "busi").items()}
    folder = write_lists(tmp_path / "all", lists)
    with pytest.raises(ValueError, match=r"_normal\.png .*'normal' .*\b0 of"):
        read(folder, BUSI)
    named = read(folder, [*BUSI, "normal breast"])
    for sample in (sample for case in named for sample in case.samples):
        assert Path(sample["image"]).stem.rsplit("_", 1)[1] in sample["class_name"].split()
    lesions = {
        name: [entry for entry in entries if "normal" not in entry["img_name"]] for name, entries in lists.items()
    }
    found = build_datalists(
        DatasetSpec(write_lists(tmp_path / "lesions", lesions), BUSI, layout="annotations", text_source="p2")
    )
    sample = found["test"][0]
    assert sample["class_name"] == "malignant tumor"
    assert sample["text"].lower().split()[0] in ("malignant", "irregular-shaped")


def test_text_is_the_class_name_one_of_the_published_or_the_neutral_one(tmp_path):
    write_annotations(tmp_path)
    texts = {
        source: [
            sample["text"]
            for sample in build_datalists(DatasetSpec(tmp_path, ["polyp"], layout="annotations", **source_))["train"]
        ]
        for source, source_ in {
            "default": {},
            "p0": {"text_source": "p0"},
            "p2": {"text_source": "p2"},
            "neutral": {"text_source": "p2", "neutral_text": "lesion"},
        }.items()
    }
    assert set(texts["default"]) == {"polyp"}
    assert set(texts["p0"]) == {""}
    assert set(texts["neutral"]) == {"lesion"}
    # the file name alone chooses one of the two texts
    assert {text.split()[0] for text in texts["p2"]} == {"small", "round"}
    assert [int(text.split()[2]) for text in texts["p2"]] == list(range(10))
    with pytest.raises(ValueError, match="text_source 'p3'"):
        build_datalists(DatasetSpec(tmp_path, ["polyp"], layout="annotations", text_source="p3"))


def test_masks_are_binary_also_with_several_classes(tmp_path):
    lists = {
        split: [pair(f"{split}.png", f"mask_{number}/{split}.png") for number in (1, 2)]
        for split in ("train", "val", "test")
    }
    write_lists(tmp_path, lists)
    mask = np.zeros((3, 4), np.uint8)
    mask[1] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "mask_2" / "train.png")
    one, two = read(tmp_path, ["a", "b"])[1].samples
    assert (LoadImageMaskd()(one)["label"].sum(), LoadImageMaskd()(two)["label"].sum()) == (0, 4)


@pytest.mark.parametrize(
    ("entries", "names", "encoding", "reason"),
    [
        ({}, ["a"], {}, r"train\.json must be a list"),
        ([7], ["a"], {}, "pair 0 .*img_name .*mask_name.* 7"),
        ([{"img_name": "x.png"}], ["a"], {}, "pair 0 .*img_name .*mask_name"),
        ([pair("x.png", p1=[])], ["a"], {}, r"prompts of pair 0 .*\[\]"),
        ([pair("x.png", p1=3)], ["a"], {}, "prompts of pair 0 .*3"),
        (
            [pair("x.png")],
            ["a"],
            {"label_values": {"a": 1}},
            r"label_values \{'a': 1\} .*masks/mask_1/",
        ),
        (
            [pair("x.png", "mask_1/x.png"), pair("y.png")],
            ["a"],
            {},
            "folders mask_1",
        ),
        ([pair("x_a.png")], ["a", "b"], {}, "class b;"),
        (
            [pair("../../private/scan.png")],
            ["a"],
            {},
            "'../../private/scan.png'.*images",
        ),
        ([pair("x.png", "/etc/passwd")], ["a"], {}, "'/etc/passwd'.*masks"),
        ([pair("..\\x.png")], ["a"], {}, r"x\.png'.*images"),
        ([pair("x.png"), pair("y.png"), pair("x.png")], ["a"], {}, r"\b1 pairs .*: x\.png with x\.png"),
        ([pair("x_a.png")], ["a b", "a c"], {}, "'a' .*2 of the classes a b, a c"),
    ],
)
def test_lists_that_are_wrong_or_ambiguous_are_refused(tmp_path, entries, names, encoding, reason):
    (tmp_path / "anns").mkdir()
    (tmp_path / "images").mkdir()
    for split in ("train", "val", "test"):
        (tmp_path / "anns" / f"{split}.json").write_text(json.dumps(entries if split == "train" else []))
    with pytest.raises(ValueError, match=reason):
        read(tmp_path, names, **encoding)


def test_a_missing_or_damaged_list_is_named(tmp_path):
    write_annotations(tmp_path)
    (tmp_path / "anns" / "val.json").write_text("{")
    with pytest.raises(ValueError, match=r"val\.json is not JSON"):
        read(tmp_path, ["polyp"])
    (tmp_path / "anns" / "val.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"val\.json: anns/ .*train, val, test"):
        read(tmp_path, ["polyp"])


def test_images_that_no_list_has_are_warned_of(tmp_path):
    write_annotations(tmp_path)
    Image.new("L", (4, 3)).save(tmp_path / "images" / "other.png")
    with pytest.warns(UserWarning, match=r"anns .*\b1 images: other\.png"):
        read(tmp_path, ["polyp"])
