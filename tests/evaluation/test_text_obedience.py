"""Scores of absent texts and of the confusion of classes, worked out by hand."""

import math

import pytest
import torch

from monai_tunevlseg.evaluation import (
    AbsentPair,
    Bootstrap,
    ClassConfusion,
    PairScores,
    read_absent_pairs,
    summarize_obedience,
    write_absent_pairs,
)

FEW = Bootstrap(resamples=200)


def pair(image, class_name, size, found, iou=0.0, **more):
    """Return a pair whose mask has `size` pixels and whose prediction `found`."""
    sizes = {"label_pixels_original": size, "predicted_pixels_original": found}
    return PairScores(image, None, class_name, class_name, iou_original=iou, **sizes, **more)


def absent_pair(image, text, found, pixels=100, group=None):
    return AbsentPair(image, None, text, group, found, pixels)


PAIRS = [
    pair("a", "polyp", 10, 10, 100.0),
    pair("b", "polyp", 10, 8, 72.0),
    pair("c", "polyp", 10, 9, 40.0),
    pair("d", "polyp", 10, 0, 0.0),
    pair("e", "polyp", 0, 0, 100.0),  # empty, and not found
]
ABSENT = [
    absent_pair("a", "car", 50),
    absent_pair("b", "car", 0),
    absent_pair("c", "car", 0),
    absent_pair("a", "tree", 0),
    absent_pair("b", "tree", 10),
    absent_pair("c", "tree", 0, 200),
]


def test_absent_pairs_are_read_as_they_were_written(tmp_path):
    pairs = [*ABSENT, AbsentPair("v.nii.gz", 0, "=car", "patient 1", 3, 100)]
    write_absent_pairs(tmp_path / "pairs.csv", pairs)
    assert read_absent_pairs(tmp_path / "pairs.csv") == pairs


@pytest.mark.parametrize("row", ["a,,car,,many,100", "a,x,car,,1,100", "a,,car,,,100", "a,,car"])
def test_damaged_absent_pairs_are_named(row, tmp_path):
    header = "image,slice,text,group,predicted_pixels_original,pixels_original\na,,car,,1,100\n"
    (tmp_path / "pairs.csv").write_text(f"{header}{row}\n")
    with pytest.raises(ValueError, match=r"pairs\.csv, row 2\b"):
        read_absent_pairs(tmp_path / "pairs.csv")


def test_rate_and_area_of_false_positives():
    summary = summarize_obedience(PAIRS, ABSENT, FEW)
    assert (summary["texts"], summary["pairs"]) == (2, 6)
    assert summary["false_positive_rate"] == pytest.approx(100 * 2 / 6)
    assert summary["false_positive_area"] == pytest.approx((50 + 10) / 6)
    assert summary["by_text"].keys() == {"car", "tree"}
    for text, area in (("car", 50 / 3), ("tree", 10 / 3)):
        expected = {"pairs": 3, "false_positive_rate": 100 / 3, "false_positive_area": area}
        assert summary["by_text"][text] == pytest.approx(expected)
    low, high = summary["intervals"]["false_positive_rate"]
    assert 0 <= low < 100 * 2 / 6 < high <= 100


def test_the_area_is_a_share_of_each_image():
    halves = [absent_pair("a", "car", 50, 100), absent_pair("b", "car", 50, 1000)]
    assert summarize_obedience(PAIRS, halves, FEW)["false_positive_area"] == pytest.approx((50 + 5) / 2)


def test_correlation_micro_f1_and_their_product():
    presence = summarize_obedience(PAIRS, ABSENT, FEW)["presence"]
    assert (presence["present"], presence["absent"]) == (4, 7)
    # found: 3 of 4 present texts; 2 of 6 absent texts and not the empty mask
    true_positive, false_negative, false_positive, true_negative = 3, 1, 2, 5
    mcc = (true_positive * true_negative - false_positive * false_negative) / math.sqrt(5 * 4 * 7 * 6)
    assert presence["image_level_mcc"] == pytest.approx(mcc)
    # IoU 1.00, 0.72 and 0.40: two hits at 0.50 to 0.70, one at 0.75 to 0.95; FP = 3 - TP, FN = 4 - TP
    micro = (5 * 2 * 2 / (2 * 2 + 1 + 2) + 5 * 2 * 1 / (2 * 1 + 2 + 3)) / 10
    assert presence["positive_micro_f1"] == pytest.approx(100 * micro)
    assert presence["cgf1"] == pytest.approx(100 * mcc * micro)


def test_an_iou_on_a_threshold_reaches_it():
    at = [pair("a", "polyp", 9, 9, 55.0)]
    assert summarize_obedience(at, ABSENT, FEW)["presence"]["positive_micro_f1"] == pytest.approx(100 * 2 / 10)


def test_perfect_masks_have_the_best_scores_and_a_network_that_ignores_its_text_the_worst():
    silent = [absent_pair(image, "car", 0) for image in "abc"]
    perfect = summarize_obedience([pair(image, "polyp", 5, 5, 100.0) for image in "abc"], silent, FEW)
    scores = {"present": 3, "absent": 3, "image_level_mcc": 1, "positive_micro_f1": 100, "cgf1": 100}
    assert perfect["presence"] == scores
    assert (perfect["false_positive_rate"], perfect["false_positive_area"]) == (0, 0)
    deaf = [absent_pair(image, "car", 5) for image in "abc"]
    same = summarize_obedience([pair(image, "polyp", 5, 5, 100.0) for image in "abc"], deaf, FEW)
    assert same["presence"] == scores | {"image_level_mcc": 0, "cgf1": 0}
    assert same["false_positive_rate"] == 100


def test_a_class_is_present_in_its_pairs_and_absent_where_its_name_was_asked_in_vain():
    pairs = [pair("a", "cat", 5, 5, 100.0), pair("b", "dog", 5, 5, 100.0), pair("c", "dog", 5, 0)]
    absent = [absent_pair("a", "dog", 3), absent_pair("b", "cat", 0), absent_pair("c", "cat", 0)]
    by_class = summarize_obedience(pairs, absent, FEW)["by_class"]
    assert by_class["cat"]["image_level_mcc"] == 1
    # dog: found in one of two, and where it is absent: TP 1, FN 1, FP 1, TN 0
    assert by_class["dog"]["image_level_mcc"] == pytest.approx((1 * 0 - 1 * 1) / math.sqrt(2 * 2 * 1 * 1))
    assert by_class["dog"]["positive_micro_f1"] == pytest.approx(100 * 2 / 3)


def test_undefined_scores_are_none():
    nothing = summarize_obedience(PAIRS[:3], [], FEW)
    assert (nothing["pairs"], nothing["false_positive_rate"], nothing["false_positive_area"]) == (0, None, None)
    assert nothing["intervals"] == {"false_positive_rate": None, "false_positive_area": None}
    assert (nothing["presence"]["image_level_mcc"], nothing["presence"]["cgf1"]) == (None, None)
    assert nothing["presence"]["positive_micro_f1"] is not None
    unmeasured = [PairScores("a", None, "polyp", "polyp", label_pixels_original=3, predicted_pixels_original=3)]
    presence = summarize_obedience(unmeasured, ABSENT, FEW)["presence"]
    assert (presence["positive_micro_f1"], presence["cgf1"]) == (None, None)
    assert presence["image_level_mcc"] is not None
    assert summarize_obedience(PAIRS[4:], ABSENT, FEW)["presence"]["positive_micro_f1"] is None


def test_pairs_of_a_patient_are_one_cluster():
    one = [absent_pair(image, "car", found, group="p") for image, found in (("a", 0), ("b", 9))]
    assert summarize_obedience(PAIRS, one, FEW)["intervals"]["false_positive_rate"] is None


def mask(*pixels):
    return torch.tensor([[[int(place in pixels) for place in range(8)]]], dtype=torch.uint8)


def test_confusion_is_the_mean_iou_over_the_images_with_the_class():
    confusion = ClassConfusion()
    confusion.add({"cat": mask(0, 1), "dog": mask(1, 2, 3)}, {"cat": mask(0, 1), "dog": mask(2, 3)})
    confusion.add({"cat": mask(4, 5), "dog": mask()}, {"dog": mask(4)})
    confusion.add({"cat": mask(7)}, {"cat": mask(), "dog": mask(7)})
    assert confusion.table() == {
        "cat": {"cat": {"iou": 100, "images": 1}, "dog": {"iou": pytest.approx((0 + 50 + 100) / 3), "images": 3}},
        "dog": {
            "cat": {"iou": pytest.approx(25), "images": 1},
            "dog": {"iou": pytest.approx((200 / 3 + 0) / 2), "images": 2},
        },
    }
