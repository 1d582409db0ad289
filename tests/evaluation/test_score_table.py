"""Scores of several runs as arrays: read, matched and averaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.evaluation import (
    Bootstrap,
    PairScores,
    crossed_mean,
    mean_over_seeds,
    read_pair_scores,
    read_score_table,
    tabulate,
    write_pair_scores,
)
from monai_tunevlseg.evaluation import score_table as module


def run(scores, class_name="x", area=4):
    return [
        PairScores(image, None, class_name, "x", dice=dice, label_pixels=area, label_pixels_original=area)
        for image, dice in scores.items()
    ]


def same(one, other):
    assert (one.score, list(one.keys), list(one.clusters)) == (other.score, list(other.keys), list(other.clusters))
    for name in ("areas", "foreground", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


CELLS = st.text(st.sampled_from("ab=+'\", \u2028é0"), min_size=1, max_size=4)
PAIRS = st.lists(
    st.builds(
        PairScores,
        image=CELLS,
        slice=st.none() | st.integers(0, 9),
        class_name=CELLS,
        text=CELLS,
        group=st.none() | CELLS,
        dice=st.none() | st.floats(0, 100),
        hd95=st.none() | st.floats(0, 900),
        label_pixels=st.none() | st.integers(0, 9),
        label_pixels_original=st.integers(0, 9),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda pair: pair.key,
)


@settings(max_examples=60, deadline=None)
@given(pairs=PAIRS, score=st.sampled_from(["dice", "hd95"]))
def test_a_table_is_read_as_all_columns_are(pairs, score, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_pair_scores(folder / "pairs.csv", pairs)
    same(read_score_table([folder], score), tabulate(read_pair_scores(folder), score))


def test_regular_files_are_read_by_column(tmp_path):
    write_pair_scores(tmp_path / "pairs.csv", run({"a.png": 50.0, "b.png": None}))
    found = module._read_columns(tmp_path / "pairs.csv", "dice")
    assert found is not None and found.keys == [("a.png", None, "x"), ("b.png", None, "x")]


@pytest.mark.parametrize(
    ("cell", "message"),
    [("101", "'101'"), ("nan", "'nan'"), ("inf", "'inf'"), ("much", "'much'"), ("-1", "'-1'")],
)
def test_a_damaged_score_is_refused_with_its_row(cell, message, tmp_path):
    path = tmp_path / "pairs.csv"
    write_pair_scores(path, run({"a.png": 50.0, "b.png": 12.25}))
    path.write_text(path.read_text().replace("12.25", cell))
    with pytest.raises(ValueError, match=rf"row 2, column 'dice' .*{message}"):
        read_score_table([tmp_path], "dice")


@pytest.mark.parametrize(("old", "new"), [("b.png", "a.png"), ("b.png", ""), (",x,", ",x,y,"), ("12.25", "12.25,")])
def test_a_damaged_file_is_refused(old, new, tmp_path):
    path = tmp_path / "pairs.csv"
    write_pair_scores(path, run({"a.png": 50.0, "b.png": 12.25}))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=r"pairs\.csv"):
        read_score_table([tmp_path], "dice")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        read_score_table([tmp_path], "dice")


def test_runs_are_matched_by_pair():
    table = tabulate(run({"a": 50.0, "b": 60.0}), "dice").stack([tabulate(run({"b": 80.0, "a": 70.0}), "dice")])
    np.testing.assert_array_equal(table.values, [[50, 60], [70, 80]])
    assert table.runs == 2


def test_runs_on_other_pairs_or_masks_are_refused():
    table = tabulate(run({"a": 50.0, "b": 60.0}), "dice")
    with pytest.raises(ValueError, match="not tested on the same pairs: c 'x'"):
        table.stack([tabulate(run({"a": 50.0, "b": 60.0, "c": 1.0}), "dice")])
    with pytest.raises(ValueError, match="masks of different areas"):
        table.stack([tabulate(run({"a": 50.0, "b": 60.0}, area=5), "dice")])


def test_pairs_that_a_run_lacks_are_left_out():
    first = run({"a": 50.0, "b": 60.0, "c": 70.0}) + run({"a": 20.0}, class_name="y")
    first[2] = replace(first[2], label_pixels=0)
    second = [replace(pair, dice=None if pair.image == "b" else pair.dice) for pair in first]
    table = tabulate(first, "dice").stack([tabulate(second, "dice")])
    assert table.measured.tolist() == [True, False, True, True]
    assert [key[0] for key in table.chosen().keys] == ["a", "c", "a"]
    assert [key[0] for key in table.chosen(foreground_only=True).keys] == ["a", "a"]
    assert [key[2] for key in table.chosen(class_name="y").keys] == ["y"]
    assert mean_over_seeds(table.chosen(class_name="z"), Bootstrap(9)) is None


def test_an_interval_of_percentages_stays_below_100():
    rng = np.random.default_rng(0)
    runs = [run({f"{number:02}": 97 + shift + rng.uniform(0, 0.5) for number in range(20)}) for shift in (0, 2.4)]
    table = tabulate(runs[0], "dice").stack([tabulate(runs[1], "dice")])
    bootstrap = Bootstrap(resamples=200)
    low, high = mean_over_seeds(table, bootstrap).interval
    wide_low, wide_high = crossed_mean([table.values], table.clusters, bootstrap).interval
    assert wide_high > 100 and (low, high) == (wide_low, 100)
