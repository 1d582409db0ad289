"""The contract of layouts with several classes or lists of their own, on trees in their real form."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from multiclass_trees import FINDINGS, FULL_SIZE, WRITERS, decode_run_lengths, encode_run_lengths
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, LoadImageMaskd, MaskEncoding, build_datalists
from monai_tunevlseg.data.io.run_lengths import decode_run_lengths as package_decoder
from monai_tunevlseg.data.issues import DatasetError


def class_names(name):
    info = LAYOUTS[name].info
    return list(info.class_names) if info else ["polyp"]


def read(name, folder, names=None, **encoding):
    return LAYOUTS[name].read(folder, MaskEncoding(names or class_names(name), **encoding), 2)


def datalists(name, folder, write_splits_to=None, **arguments):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the published sizes")
        return build_datalists(DatasetSpec(folder, class_names(name), layout=name, **arguments), write_splits_to)


@pytest.fixture(params=sorted(WRITERS))
def tree(request, tmp_path):
    """(layout, folder, truth)"""
    folder = tmp_path / "data"
    folder.mkdir()
    return request.param, folder, WRITERS[request.param](folder)


def test_every_pair_is_read_as_it_was_written(tree):
    name, folder, truth = tree
    cases = read(name, folder)
    assert [case.stem for case in cases] == sorted(truth)
    for case in cases:
        assert [sample["class_name"] for sample in case.samples] == [
            known for known in class_names(name) if known in truth[case.stem]
        ]
        for sample in case.samples:
            loaded = LoadImageMaskd()(sample)
            np.testing.assert_array_equal(loaded["label"][0].numpy(), truth[case.stem][sample["class_name"]])
            assert loaded["image"].shape[1:] == loaded["label"].shape[1:]
            assert loaded["image"].max() > loaded["image"].min()
            assert sample["text"] == sample["class_name"]


def test_splits_hold_every_pair_once_and_no_image_twice(tree):
    name, folder, truth = tree
    found = datalists(name, folder)
    images = [{sample["image"] for sample in samples} for samples in found.values()]
    assert all(images)
    assert sum(map(len, images)) == len(set.union(*images)) == sum(bool(masks) for masks in truth.values())
    pairs = [(sample["image"], sample["class_name"]) for samples in found.values() for sample in samples]
    assert len(pairs) == len(set(pairs)) == sum(map(len, truth.values()))
    assert json.loads(json.dumps(found)) == found


def test_splits_are_repeatable_and_can_be_handed_in_again(tree, tmp_path):
    name, folder, _ = tree
    written = tmp_path / "results" / "splits.json"
    found = datalists(name, folder, write_splits_to=written)
    assert datalists(name, folder) == found
    assert {
        split: sorted(map(str, samples)) for split, samples in datalists(name, folder, splits_file=written).items()
    } == {split: sorted(map(str, samples)) for split, samples in found.items()}


@pytest.mark.parametrize("tree", sorted(WRITERS.keys() - {"annotations"}), indirect=True)
def test_a_class_can_be_chosen_and_an_unknown_one_is_refused(tree):
    name, folder, truth = tree
    chosen = class_names(name)[-1]
    stems = [case.stem for case in read(name, folder, [chosen]) if case.samples]
    assert stems == sorted(stem for stem, masks in truth.items() if chosen in masks)
    with pytest.raises(ValueError, match=f"'dragon': class_names .*{chosen}"):
        read(name, folder, ["dragon"])
    with pytest.raises(ValueError, match="mask_threshold 128"):
        read(name, folder, [chosen], mask_threshold=128)


def test_everything_that_is_wrong_is_reported_at_once_and_the_rest_is_read(tree):
    name, folder, truth = tree
    cases = [case for case in read(name, folder) if case.samples]
    gone, damaged, other = (Path(cases[index].samples[0]["image"]) for index in (0, 1, 2))
    gone.unlink()
    damaged.write_bytes(b"no picture")
    _enlarge(other)
    with pytest.raises(DatasetError, match="3 issues") as caught:
        read(name, folder)
    found = {issue.kind: issue for issue in caught.value.issues}
    assert set(found) == {"missing", "unreadable", "size"}
    assert found["unreadable"].files == (str(damaged),)
    assert str(other) in found["size"].files
    wrong = {case.stem for case in cases[:3]}
    assert [case.stem for case in caught.value.cases] == sorted(set(truth) - wrong)


def _enlarge(path):
    with Image.open(path) as image:
        larger = image.resize((40, 40))
    larger.save(path)


@pytest.mark.parametrize("name", sorted(FULL_SIZE))
def test_full_size_gives_the_sizes_of_table_1(tmp_path, name):
    FULL_SIZE[name](tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build_datalists(DatasetSpec(tmp_path / "data", class_names(name), layout=name))
    sizes = tuple(len(samples) for samples in found.values())
    if name != "chexlocalize":  # the owner's train part is divided; the paper gives it as a whole
        images = [len({sample["image"] for sample in found[split]}) for split in ("train", "val")]
        assert images[1] == round(sum(images) / 10)
        sizes = (sizes[0] + sizes[1], 0, sizes[2])
    assert sizes == LAYOUTS[name].info.sizes


def test_a_folder_without_the_dataset_is_refused(tmp_path):
    for name in WRITERS:
        with pytest.raises(FileNotFoundError, match=name if name != "annotations" else "anns"):
            read(name, tmp_path)


# ---------------------------------------------------------------- cityscapes, pascal_voc


@pytest.mark.parametrize(("name", "part"), [("cityscapes", "leftImg8bit/val"), ("pascal_voc", "val.txt")])
def test_the_owners_val_part_is_the_test_split(tmp_path, name, part):
    truth = WRITERS[name](tmp_path)
    found = datalists(name, tmp_path)
    if name == "cityscapes":
        assert all("/val/frankfurt/" in sample["image"] for sample in found["test"])
        assert not any("/val/" in sample["image"] for split in ("train", "val") for sample in found[split])
    else:
        listed = (tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").read_text().split()
        assert {Path(sample["image"]).stem for sample in found["test"]} == {stem for stem in listed if truth[stem]}
    assert {len({sample["image"] for sample in found["val"]})} == {1}


def test_pascal_voc_is_found_from_the_kit_and_from_its_own_folder(tmp_path):
    WRITERS["pascal_voc"](tmp_path)
    whole = read("pascal_voc", tmp_path)
    for folder in (tmp_path / "VOCdevkit", tmp_path / "VOCdevkit" / "VOC2012"):
        assert read("pascal_voc", folder) == whole


def test_pascal_voc_without_its_lists_and_with_a_value_of_no_class(tmp_path):
    WRITERS["pascal_voc"](tmp_path)
    root = tmp_path / "VOCdevkit" / "VOC2012"
    mask = root / "SegmentationClass" / "2007_000001.png"
    Image.fromarray(np.full((24, 32), 21, np.uint8)).save(mask)
    with pytest.raises(DatasetError, match=r"2007_000001\.png .*label values 21,"):
        read("pascal_voc", tmp_path)
    (root / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"val\.txt"):
        read("pascal_voc", tmp_path)


def test_cityscapes_ids_beyond_the_19_are_background(tmp_path):
    truth = WRITERS["cityscapes"](tmp_path)
    assert all(mask.max() == 1 for masks in truth.values() for mask in masks.values())
    assert not any("ignore_value" in sample for case in read("cityscapes", tmp_path) for sample in case.samples)


# ---------------------------------------------------------------- chexlocalize


def test_the_two_decoders_agree_on_any_mask():
    rng = np.random.default_rng(0)
    for _ in range(50):
        height, width = rng.integers(1, 40, 2)
        mask = (rng.random((height, width)) < rng.choice([0.02, 0.5, 0.98])).astype(np.uint8)
        code = encode_run_lengths(mask)
        np.testing.assert_array_equal(decode_run_lengths(code), mask)
        np.testing.assert_array_equal(package_decoder(code, Path("gt.json")), mask)


def test_chexlocalize_patients_are_never_divided(tmp_path):
    WRITERS["chexlocalize"](tmp_path, 24)
    found = datalists("chexlocalize", tmp_path)
    groups = [{sample["group"] for sample in samples} for samples in found.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert all(group.startswith("patient") and "_" not in group for group in set.union(*groups))


def test_chexlocalize_splits_have_the_shares_of_table_1(tmp_path):
    truth = WRITERS["chexlocalize"](tmp_path, 60)
    total = sum(map(len, truth.values()))
    with pytest.warns(UserWarning, match=rf"1279/446/452 .*2177 samples.* {total};"):
        found = build_datalists(DatasetSpec(tmp_path, class_names("chexlocalize"), layout="chexlocalize"))
    for split, size in zip(("train", "val", "test"), (1279, 446, 452), strict=True):
        assert abs(len(found[split]) - total * size / 2177) <= 1


def test_chexlocalize_of_one_part_in_the_form_of_the_owners_sample(tmp_path):
    WRITERS["chexlocalize"](tmp_path)
    sample = tmp_path / "sample"
    sample.mkdir()
    (tmp_path / "CheXlocalize" / "gt_segmentations_test.json").unlink()
    (tmp_path / "CheXlocalize" / "gt_segmentations_val.json").rename(sample / "gt_segmentations_val.json")
    (tmp_path / "CheXpert" / "val").rename(sample / "valid")
    assert read("chexlocalize", sample) == read("chexlocalize", tmp_path)
    (sample / "valid").rename(sample / "elsewhere")
    with pytest.raises(FileNotFoundError, match="val or valid .*gt_segmentations_val"):
        read("chexlocalize", sample)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda codes: codes.update(Fracture=codes["Edema"]), "fracture .*patient"),
        (
            lambda codes: codes["Edema"].update(counts="0"),
            "run-length code .*0 pixels",
        ),
        (lambda codes: codes.update(Edema=7), r"gt_segmentations_val\.json .*run-length code"),
    ],
)
def test_chexlocalize_codes_that_are_wrong_are_named(tmp_path, change, reason):
    WRITERS["chexlocalize"](tmp_path)
    path = tmp_path / "CheXlocalize" / "gt_segmentations_val.json"
    content = json.loads(path.read_text())
    change(next(iter(content.values())))
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=reason):
        read("chexlocalize", tmp_path)


@pytest.mark.parametrize("stem", ["/etc/study1_view1", "../../private_a_b", "patient1_.._.._.._x"])
def test_lists_that_lead_out_of_the_dataset_are_refused(tmp_path, stem):
    WRITERS["chexlocalize"](tmp_path)
    path = tmp_path / "CheXlocalize" / "gt_segmentations_val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {stem: {}}))
    with pytest.raises(ValueError, match=f"{stem[-1]}.jpg'"):
        read("chexlocalize", tmp_path)


def test_pascal_voc_lists_that_leave_the_dataset_or_utf8_are_refused(tmp_path):
    WRITERS["pascal_voc"](tmp_path)
    (path,) = tmp_path.rglob("train.txt")
    content = path.read_bytes()
    path.write_bytes(content + b"../../private\n")
    with pytest.raises(ValueError, match="'../../private.jpg'"):
        read("pascal_voc", tmp_path)
    path.write_bytes(content + b"M\xfcller\n")
    with pytest.raises(ValueError, match=r"train\.txt .*UTF-8"):
        read("pascal_voc", tmp_path)


def test_chexlocalize_classes_are_those_of_the_files():
    names = {name.lower().replace("airspace", "lung") for name in FINDINGS}
    assert names == set(LAYOUTS["chexlocalize"].info.class_names)
