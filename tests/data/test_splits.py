from __future__ import annotations

import json
import unicodedata
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_tunevlseg.data.splits import draw_splits, group_by, read_splits, warn_of_overlap, write_splits

STEMS = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=60)


@given(STEMS, st.randoms())
def test_drawn_splits_hold_every_image_once_in_any_order_of_stems(stems, random):
    splits = draw_splits(stems)
    assert sorted(splits["train"] + splits["val"] + splits["test"]) == sorted(stems)
    assert [stems_ == sorted(stems_) for stems_ in splits.values()] == [True] * 3
    shuffled = list(stems)
    random.shuffle(shuffled)
    assert draw_splits(shuffled) == splits


@given(STEMS.filter(lambda stems: len(stems) >= 3))
def test_shares(stems):
    splits = draw_splits(stems)
    for name in ("val", "test"):
        assert len(splits[name]) >= 1
        assert abs(len(splits[name]) - len(stems) / 10) <= max(0.5, 1 - len(stems) / 10)
    assert splits["train"]


def test_known_draw():
    # from sha256sum; a change would move images of existing users between training and test
    assert draw_splits([f"case{number}" for number in range(10)]) == {
        "train": ["case0", "case1", "case2", "case3", "case4", "case5", "case6", "case8"],
        "val": ["case9"],
        "test": ["case7"],
    }


SIZES = st.tuples(*[st.integers(0, 40)] * 3).filter(any)


@given(SIZES)
def test_published_sizes_come_out_exactly(sizes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = draw_splits([f"case{number}" for number in range(sum(sizes))], sizes=sizes)
    assert tuple(map(len, splits.values())) == sizes


@given(STEMS, SIZES)
def test_shares_hold_every_image_once_and_give_each_its_part(stems, shares):
    splits = draw_splits(stems, shares=shares)
    assert sorted(sum(splits.values(), [])) == sorted(stems)
    wanted = [share > 0 for share in shares]
    if len(stems) >= sum(wanted):
        assert [bool(part) for part in splits.values()] == wanted
        for part, share in zip(splits.values(), shares, strict=True):
            assert abs(len(part) - len(stems) * share / sum(shares)) <= 2
    else:
        assert splits["train"] == sorted(stems)


def test_another_number_than_the_published_is_warned_of_and_shared_out():
    stems = [f"p{number // 2}_{number}" for number in range(20)]
    with pytest.warns(UserWarning, match="800/100/100 .*1000 images.* 20;.* 16/2/2"):
        splits = draw_splits(stems, sizes=(800, 100, 100))
    assert [len(part) for part in splits.values()] == [16, 2, 2]
    with pytest.warns(UserWarning, match="400/50/50 .*500 groups.* 10;.* 8/1/1"):
        splits = draw_splits(stems, group_by(r"^(p\d+)_"), sizes=(400, 50, 50))
    assert [len(part) for part in splits.values()] == [16, 2, 2]


def test_shares_are_drawn_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = draw_splits([f"case{number}" for number in range(20)], shares=(9, 1, 0))
    assert [len(part) for part in splits.values()] == [18, 2, 0]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 99)), unique=True, max_size=60))
def test_groups_are_never_divided(pairs):
    stems = [f"p{patient}_{image}" for patient, image in pairs]
    group_of = group_by(r"^(p\d+)_")
    splits = draw_splits(stems, group_of)
    assert sorted(sum(splits.values(), [])) == sorted(stems)
    groups = [{group_of(stem) for stem in part} for part in splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert len(set.union(*groups)) < 3 or all(groups)


PATIENTS = st.dictionaries(st.tuples(st.integers(0, 30), st.integers(0, 9)), st.integers(0, 9), max_size=80)


@given(PATIENTS)
def test_weights_are_divided_by_group_in_the_shares_that_are_asked_for(weights_of):
    weights = {f"p{patient}_{view}": weight for (patient, view), weight in weights_of.items()}
    group_of = group_by(r"^(p\d+)_")
    splits = draw_splits(weights, group_of, shares=(6, 2, 2), weights=weights)
    assert sorted(sum(splits.values(), [])) == sorted(weights)
    groups = [{group_of(stem) for stem in part} for part in splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert len(set.union(*groups)) < 3 or all(groups)
    heaviest = max(
        (sum(weights[stem] for stem in weights if group_of(stem) == group) for group in set.union(*groups)), default=0
    )
    for name, share in zip(splits, (0.6, 0.2, 0.2), strict=True):
        if len(set.union(*groups)) >= 6:
            assert abs(sum(weights[stem] for stem in splits[name]) - share * sum(weights.values())) <= heaviest + 1


def test_weights_give_the_sizes_exactly_where_groups_are_small_enough():
    weights = {f"p{number % 700}_{number}": 1 + number % 4 for number in range(900)}
    total = sum(weights.values())
    sizes = (total - 900, 450, 450)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = draw_splits(weights, group_by(r"^(p\d+)_"), sizes=sizes, weights=weights)
    assert tuple(sum(weights[stem] for stem in stems) for stems in splits.values()) == sizes


def test_weights_of_one_are_the_same_draw_as_none():
    stems = [f"case{number}" for number in range(57)]
    assert draw_splits(stems, weights=dict.fromkeys(stems, 1)) == draw_splits(stems)


def test_group_pattern_without_brackets_is_the_match():
    assert group_by(r"p\d+")("x_p12_3") == "p12"


def test_group_pattern_that_is_wrong_or_does_not_match_is_named():
    with pytest.raises(ValueError, match=r"group_pattern '\('"):
        group_by("(")
    with pytest.raises(ValueError, match=r"group_pattern 'p\\\\d\+' .*'case'"):
        group_by(r"p\d+")("case")


@given(STEMS)
def test_written_splits_read_back(tmp_path_factory, stems):
    path = tmp_path_factory.mktemp("splits") / "new" / "splits.json"
    splits = draw_splits(stems)
    write_splits(path, splits)
    assert read_splits(path, stems) == splits
    assert list(path.parent.iterdir()) == [path]


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ([], "keys train, val, test"),
        ({"val": [], "test": []}, "keys train, val, test"),
        ({"train": []}, "keys train, val, test"),
        ({"train": [], "val": [], "test": [], "extra": []}, "keys train, val, test"),
        ({"train": "a", "val": [], "test": []}, "'train' must be a list"),
        ({"train": [1], "val": [], "test": []}, "'train' must be a list"),
        ({"train": [], "val": [], "test": [], "left_out": "a"}, "'left_out' must be a list"),
        ({"train": [], "left_out": ["a"]}, "keys train, val, test"),
        ({"train": ["a", "x", "y"], "val": [], "test": []}, "2 names in 'train' .*: x, y; "),
        (
            {"train": ["a"], "val": ["b.png"], "test": []},
            r"1 names in 'val' .*: b\.png; .*suffix",
        ),
        ({"train": ["a", "a"], "val": [], "test": []}, "'train' lists a "),
    ],
)
def test_wrong_content_is_refused(tmp_path, content, reason):
    with pytest.raises(ValueError, match=f"splits.json.*{reason}"):
        read_splits(written(tmp_path / "splits.json", content), ["a", "b"])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"splits file .*s\.json"):
        read_splits(tmp_path / "s.json", ["a"])


def test_images_in_no_split_are_warned_of(tmp_path):
    path = written(tmp_path / "s.json", {"train": ["a"], "val": ["b"], "test": ["c"]})
    with pytest.warns(UserWarning, match="2 images: d, e"):
        read_splits(path, "abcde")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_images_that_the_file_leaves_out_are_not_warned_of(tmp_path, form):
    splits = {"train": ["a"], "val": ["b"], "test": ["c"]}
    path = tmp_path / "s.json"
    write_splits(path, splits, left_out=["é", "gone"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_splits(path, [*"abc", unicodedata.normalize(form, "é")]) == splits
    with pytest.warns(UserWarning, match="1 images: d"):
        read_splits(path, [*"abcd", "é"])


def test_overlap_is_warned_of_by_image_and_by_group():
    with pytest.warns(UserWarning, match="'train' and 'test' share 1: p1_0"):
        warn_of_overlap({"train": ["p1_0", "p2_0"], "val": [], "test": ["p1_0"]})
    apart = {"train": ["p1_0"], "val": ["p2_0"], "test": ["p1_1"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_overlap(apart)
    with pytest.warns(UserWarning, match=r"'train' and 'test' share 1: p1\."):
        warn_of_overlap(apart, group_by(r"^p\d+"))
