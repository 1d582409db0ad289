import pytest

from monai_tunevlseg.evaluation import Bootstrap, PairScores, summarize

FEW = Bootstrap(resamples=100)
CASES = [
    PairScores("a", None, "x", "x", dice=80.0, iou=70.0, hd95=3.0, label_pixels=5, label_pixels_original=9),
    PairScores("a", None, "y", "y", dice=60.0, iou=50.0, hd95=None, label_pixels=5, label_pixels_original=9),
    PairScores("b", None, "x", "x", dice=100.0, iou=100.0, hd95=None, label_pixels=0, label_pixels_original=0),
    PairScores("c", None, "x", "x", dice=0.0, iou=0.0, hd95=9.0, label_pixels=0, label_pixels_original=2),
]


def test_means_counts_and_deviations_by_hand():
    summary = summarize(CASES, ["dice", "iou", "hd95"], FEW)
    counts = {"pairs": 4, "pairs_with_foreground": 2, "pairs_with_foreground_original": 3, "images": 3, "clusters": 3}
    assert {name: summary[name] for name in counts} == counts
    assert (summary["dice"], summary["dice_foreground"]) == (60, 70)
    assert (summary["iou"], summary["iou_foreground"]) == (55, 60)
    assert (summary["hd95"], summary["pairs_with_hd95"]) == (6, 2)
    assert summary["standard_deviations"]["dice_foreground"] == pytest.approx(200**0.5)
    low, high = summary["intervals"]["dice"]
    assert low < 60 < high
    assert set(summary["intervals"]) == set(summary["standard_deviations"])
    assert set(summary["intervals"]) == {"dice", "dice_foreground", "iou", "iou_foreground", "hd95"}


def test_the_two_foreground_pairs_of_one_image_have_no_interval():
    assert summarize(CASES, ["dice"], FEW)["intervals"]["dice_foreground"] is None


def test_groups_are_the_units_where_there_are_any():
    grouped = [
        PairScores(f"{name}", None, "x", "x", group=name[0], dice=float(10 * len(name))) for name in ("p", "pp", "q")
    ]
    summary = summarize(grouped, ["dice"], FEW)
    assert (summary["images"], summary["clusters"]) == (3, 2)


def test_the_mean_without_foreground_or_scores_is_undefined():
    summary = summarize([CASES[2]], ["dice", "hd95"], FEW)
    assert (summary["dice"], summary["dice_foreground"], summary["hd95"], summary["pairs_with_hd95"]) == (
        100,
        None,
        None,
        0,
    )
    assert set(summary["intervals"].values()) == set(summary["standard_deviations"].values()) == {None}


def test_nothing_to_summarize_is_an_error():
    with pytest.raises(ValueError, match="no pair"):
        summarize([], ["dice"], FEW)
