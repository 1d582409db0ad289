"""Classes of a dataset under other names: each keeps its mask, and those of one name share the union."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_tunevlseg.data import DatasetSpec, build_datalists
from monai_tunevlseg.data.class_mapping import map_classes
from monai_tunevlseg.data.sample_masks import mask_paths, read_sample_mask
from monai_tunevlseg.data.samples import Case

LABELS = np.zeros((6, 8), np.uint8)
LABELS[0, :3], LABELS[1, :4], LABELS[2, :5], LABELS[5] = 1, 2, 3, 255


@pytest.fixture
def case(tmp_path) -> Case:
    """An image with the classes one, two and three of a label map with ignored pixels."""
    for name in ("image", "mask"):
        Image.fromarray(LABELS).save(tmp_path / f"{name}.png")
    shared = {"image": str(tmp_path / "image.png"), "label": str(tmp_path / "mask.png"), "ignore_value": 255}
    names = ("one", "two", "three")
    return Case("image", [shared | {"class_name": n, "text": n, "label_value": v} for v, n in enumerate(names, 1)])


def areas(cases):
    return {sample["class_name"]: int((read_sample_mask(sample) == 1).sum()) for sample in cases[0].samples}


def test_classes_are_renamed_united_or_left_out(case):
    before = [dict(sample) for sample in case.samples]
    assert areas([case]) == {"one": 3, "two": 4, "three": 5}
    assert areas(map_classes([case], {"one": "first", "three": "third"})) == {"first": 3, "third": 5}
    merged = map_classes([case], {"one": "any", "two": "other", "three": "any"})
    assert areas(merged) == {"any": 8, "other": 4}
    assert [sample["text"] for sample in merged[0].samples] == ["any", "other"]
    assert case.samples == before


def test_ignored_pixels_stay_ignored_in_a_union(case):
    (sample,) = map_classes([case], dict.fromkeys(("one", "two"), "any"))[0].samples
    expected = np.isin(LABELS, (1, 2)).astype(np.uint8)
    expected[LABELS == 255] = 255
    assert np.array_equal(read_sample_mask(sample), expected)
    assert [path.name for path in mask_paths(sample)] == ["mask.png"]


def test_binary_files_and_values_of_a_label_map_are_united(case, tmp_path):
    Image.fromarray((LABELS == 3).astype(np.uint8) * 255).save(tmp_path / "three.png")
    binary = {"image": case.samples[0]["image"], "label": str(tmp_path / "three.png"), "class_name": "b", "text": "b"}
    united = map_classes([Case("image", [case.samples[0], binary])], {"one": "any", "b": "any"})
    assert areas(united) == {"any": 8}
    assert [path.name for path in mask_paths(united[0].samples[0])] == ["mask.png", "three.png"]


def test_slices_of_a_volume_are_not_united(case):
    slices = [case.samples[0] | {"slice": number, "slice_axis": 2} for number in (0, 1)]
    mapped = map_classes([Case("image", slices)], {"one": "any"})
    assert [sample["slice"] for sample in mapped[0].samples] == [0, 1]


def test_masks_of_other_sizes_are_refused(case, tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "small.png")
    other = {"image": case.samples[0]["image"], "label": str(tmp_path / "small.png"), "class_name": "b", "text": "b"}
    (sample,) = map_classes([Case("image", [case.samples[0], other])], {"one": "any", "b": "any"})[0].samples
    with pytest.raises(ValueError, match=r"small\.png.*\(4, 4\).*mask\.png.*\(6, 8\)"):
        read_sample_mask(sample)


def test_datalists_have_the_new_names_and_need_only_the_required_splits(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for stem in ("a", "b"):
            Image.fromarray(np.where(LABELS == 255, 0, LABELS)).save(tmp_path / folder / f"{stem}.png")
    (tmp_path / "splits.json").write_text('{"train": [], "val": [], "test": ["b"]}')
    spec = DatasetSpec(tmp_path, ["one", "two", "three"])
    with pytest.raises(ValueError, match="'train'"):
        build_datalists(spec)
    mapping = {"one": "any", "two": "any"}
    with pytest.warns(UserWarning, match="leaves out 1 images: a"):
        datalists = build_datalists(spec, class_mapping=mapping, required=["test"])
    assert {name: len(samples) for name, samples in datalists.items()} == {"train": 0, "val": 0, "test": 1}
    assert int(read_sample_mask(datalists["test"][0]).sum()) == 7
