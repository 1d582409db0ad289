from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset

from monai_tunevlseg.data import (
    DatasetSpec,
    ImageGroupBatchSampler,
    LoadImageGroup,
    LoadImageMaskd,
    build_datalists,
    collate_image_groups,
    group_by_image,
)
from monai_tunevlseg.data.transforms import sample_loading

samples = st.lists(
    st.fixed_dictionaries(
        {"image": st.sampled_from("abc"), "class_name": st.sampled_from(["x", "y", "z"]), "text": st.text(max_size=2)},
        optional={"slice": st.integers(0, 2), "slice_axis": st.integers(0, 2)},
    )
)


def flat(groups):
    return [
        {key: value for key, value in group.items() if key != "pairs"} | pair
        for group in groups
        for pair in group["pairs"]
    ]


@settings(deadline=None)
@given(samples)
def test_grouping_keeps_every_pair_and_its_order(datalist):
    groups = group_by_image(datalist)
    pairs = flat(groups)
    assert sorted(pair["number"] for pair in pairs) == list(range(len(datalist)))
    for pair in pairs:
        assert {key: value for key, value in pair.items() if key != "number"} == datalist[pair["number"]]
    for group in groups:
        numbers = [pair["number"] for pair in group["pairs"]]
        assert numbers == sorted(numbers)
    firsts = [group["pairs"][0]["number"] for group in groups]
    assert firsts == sorted(firsts)


@settings(deadline=None)
@given(samples)
def test_an_image_or_slice_has_one_group(datalist):
    places = [(group["image"], group.get("slice"), group.get("slice_axis")) for group in group_by_image(datalist)]
    assert len(places) == len(set(places))


@settings(deadline=None)
@given(st.lists(st.integers(1, 7), max_size=30), st.integers(1, 9))
def test_batches_hold_every_group_once_and_are_of_one_size(sizes, batch_size):
    groups = [{"image": str(number), "pairs": [{}] * size} for number, size in enumerate(sizes)]
    sampler = ImageGroupBatchSampler(groups, batch_size)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(index for batch in batches for index in batch) == list(range(len(groups)))
    for batch in batches:
        assert batch == sorted(batch)
        assert len({sizes[index] for index in batch}) == 1
        assert len(batch) == 1 or len(batch) * sizes[batch[0]] <= batch_size
    for size in set(sizes):  # no batch had room for another image
        of_size = [batch for batch in batches if sizes[batch[0]] == size]
        assert sum(len(batch) < max(1, batch_size // size) for batch in of_size) <= 1


def test_absent_texts_count_and_images_of_a_batch_have_equally_many():
    counts = [(1, 1), (1, 3), (2, 0), (1, 1), (1, 3), (2, 2), (2, 0)]
    groups = [
        {"pairs": [{}] * pairs} | ({"absent_texts": ["x"] * absent} if absent else {}) for pairs, absent in counts
    ]
    batches = list(ImageGroupBatchSampler(groups, 4))
    assert batches == [[5], [1], [4], [2, 6], [0, 3]]


def test_absent_texts_of_a_group_follow_those_of_its_pairs(groups):
    loaded = LoadImageGroup(LoadImageMaskd())(groups[0] | {"absent_texts": ["x", "y"]})
    assert loaded["text"] == ["one", "two", "x", "y"]
    assert loaded["absent_texts"] == ["x", "y"]
    assert loaded["label"].shape[0] == len(loaded["pairs"]) == 2


def compared(*texts):
    return [{"kind": "text_set", "name": text, "text": text} for text in texts]


def test_compared_texts_that_are_not_asked_yet_follow_and_count(groups):
    own = [compared("one", "y", "u", "z"), compared("v")]
    pairs = [pair | {"compared_texts": texts} for pair, texts in zip(groups[0]["pairs"], own, strict=True)]
    group = groups[0] | {"absent_texts": ["x", "y"], "pairs": pairs}
    loaded = LoadImageGroup(LoadImageMaskd())(group)
    assert loaded["text"] == ["one", "two", "x", "y", "u", "z", "v"]
    assert loaded["further_texts"] == ["u", "z", "v"]
    others = [{"pairs": [{}] * 7}, {"pairs": [{}] * 2, "absent_texts": list("abcde")}, group]
    assert list(ImageGroupBatchSampler(others * 2, 14)) == [[0, 3], [1, 4], [2, 5]]


def test_texts_that_are_averaged_count():
    groups = [{"pairs": [{"text": "x", "text_set": texts}]} for texts in ([], ["x", "y"], ["y", "z"], ["z", "x"])]
    assert list(ImageGroupBatchSampler(groups, 4)) == [[2], [1, 3], [0]]


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size is 0"):
        ImageGroupBatchSampler([], 0)


@pytest.fixture
def groups(tmp_path, save):
    """Two pictures of different sizes with labels 1 and 2, and one with label 2 alone."""
    rng = np.random.default_rng(0)
    for name, size, values in (("a", (6, 5), (1, 2)), ("b", (8, 7), (1, 2)), ("c", (6, 6), (2,))):
        mask = np.zeros(size, np.uint8)
        for value in values:
            mask[value * 2 : value * 2 + 2, 1:4] = value
        save(tmp_path / "images" / f"{name}.png", rng.integers(0, 255, (*size, 3), dtype=np.uint8))
        save(tmp_path / "masks" / f"{name}.png", mask)
    (tmp_path / "splits.json").write_text('{"train": ["a", "b", "c"], "val": ["c"], "test": ["a"]}')
    with pytest.warns(UserWarning, match="share"):
        return group_by_image(build_datalists(DatasetSpec(tmp_path, ["one", "two"]))["train"])


def test_a_loaded_group_has_the_image_and_masks_of_each_of_its_samples(groups):
    load = LoadImageMaskd()
    for group in groups:
        loaded = LoadImageGroup(load)(group)
        assert loaded["text"] == [pair["text"] for pair in group["pairs"]]
        assert loaded["label"].dtype == torch.uint8
        for index, pair in enumerate(flat([group])):
            alone = load(pair)
            assert torch.equal(loaded["image"], alone["image"])
            assert torch.equal(loaded["label"][index : index + 1].float(), torch.as_tensor(alone["label"]))
            assert loaded["pairs"][index] == pair


def test_the_image_of_a_group_is_read_once(groups):
    with patch.object(sample_loading, "read_image", wraps=sample_loading.read_image) as reader:
        LoadImageGroup(LoadImageMaskd())(groups[0])
    assert len(groups[0]["pairs"]) == 2
    assert reader.call_count == 1


def test_a_mask_of_another_size_is_named(groups, save, tmp_path):
    save(tmp_path / "masks" / "other.png", np.ones((3, 3), np.uint8))
    groups[0]["pairs"][1]["label"] = str(tmp_path / "masks" / "other.png")
    with pytest.raises(ValueError, match=r"other\.png .*3, 3. .*a\.png .6, 5."):
        LoadImageGroup(LoadImageMaskd())(groups[0])


def test_pictures_of_any_size_and_number_of_texts_come_in_batches(groups):
    def load(group):
        loaded = LoadImageGroup(LoadImageMaskd())(group)
        return loaded | {key: torch.as_tensor(loaded[key])[:, :4, :4].float() for key in ("image", "label")}

    loader = DataLoader(
        Dataset(groups, load),
        batch_sampler=ImageGroupBatchSampler(groups, 4),
        collate_fn=collate_image_groups,
        num_workers=2,
    )
    first, second = loader
    assert first["image"].shape == (2, 3, 4, 4)
    assert first["label"].shape == (2, 2, 4, 4)
    assert first["text"] == [["one", "two"], ["one", "two"]]
    assert [mask.shape for mask in first["full_label"]] == [(2, 6, 5), (2, 8, 7)]
    assert second["text"] == [["two"]]
    assert second["image"].shape == (1, 3, 4, 4)
