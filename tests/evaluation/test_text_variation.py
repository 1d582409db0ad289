"""The spread over texts and the scores of controls, worked out by hand."""

import statistics

import pytest

from monai_tunevlseg.evaluation import Bootstrap, ComparedPair, summarize_variation

FEW = Bootstrap(resamples=200)


def pair(image, name, dice, class_name="polyp", kind="text_set", found=10, label=10, **more):
    sizes = {"label_pixels": label, "predicted_pixels": found, "pixels": 200}
    values = {"iou": dice / 2, "blank_dice": 0.0, "blank_pixels": 0, "group": None} | more
    return ComparedPair(image, None, class_name, kind, name, f"{name} of {image}", dice=dice, **sizes, **values)


TEXTS = [
    *(pair("a", name, dice) for name, dice in (("p1", 90.0), ("p2", 40.0), ("p3", 80.0))),
    *(pair("b", name, dice) for name, dice in (("p1", 70.0), ("p2", 60.0), ("p3", 100.0))),
]
"""Means of 80, 50 and 90."""


def test_mean_spread_and_worst_text():
    found = summarize_variation(TEXTS, FEW)["text_set"]
    assert (found["texts"], found["pairs"]) == (3, 6)
    assert found["dice"] == pytest.approx((80 + 50 + 90) / 3)
    assert found["range"] == pytest.approx(40)
    assert found["standard_deviation"] == pytest.approx(((20 / 3) ** 2 + (70 / 3) ** 2 + (50 / 3) ** 2) ** 0.5 / 2**0.5)
    assert found["standard_deviation"] == pytest.approx(statistics.stdev([80, 50, 90]))
    assert (found["worst"], found["best"]) == ({"name": "p2", "dice": 50}, {"name": "p3", "dice": 90})
    assert {name: scores["dice"] for name, scores in found["by_text"].items()} == {"p1": 80, "p2": 50, "p3": 90}
    low, high = found["by_text"]["p1"]["interval"]
    assert 70 <= low < 80 < high <= 90
    low, high = found["intervals"]["dice"]  # of the images' means, 70 and 230 / 3
    assert 70 <= low < 220 / 3 < high <= 230 / 3


def test_one_class_is_its_own_overall_result():
    summary = summarize_variation(TEXTS, FEW)
    classes = summary.pop("classes")
    assert classes == {"polyp": summary}


def test_a_network_that_does_not_read_its_text_has_no_spread():
    same = [pair(image, name, 60.0) for image in "ab" for name in ("p1", "p2", "p3")]
    found = summarize_variation(same, FEW)["text_set"]
    assert (found["dice"], found["range"], found["standard_deviation"]) == (60, 0, 0)
    assert found["worst"]["dice"] == found["best"]["dice"] == 60


def test_several_classes_are_weighted_by_their_images():
    ulcers = [pair("c", "p1", 20.0, "ulcer"), pair("c", "p2", 50.0, "ulcer")]
    found = summarize_variation([*TEXTS, *ulcers], FEW)
    assert found["classes"]["ulcer"]["text_set"]["worst"] == {"name": "p1", "dice": 20}
    overall = found["text_set"]
    assert overall["dice"] == pytest.approx((2 * (80 + 50 + 90) + 20 + 50) / 8)
    assert overall["worst"] == {"name": None, "dice": pytest.approx((2 * 50 + 20) / 3)}
    assert overall["best"]["dice"] == pytest.approx((2 * 90 + 50) / 3)
    assert overall["range"] == pytest.approx((2 * 40 + 30) / 3)
    deviations = statistics.stdev([80, 50, 90]), statistics.stdev([20, 50])
    assert overall["standard_deviation"] == pytest.approx((2 * deviations[0] + deviations[1]) / 3)
    # p3 is no text of the ulcer
    assert {name: scores["dice"] for name, scores in overall["by_text"].items()} == {
        "p1": pytest.approx((90 + 70 + 20) / 3),
        "p2": pytest.approx((40 + 60 + 50) / 3),
    }


def test_scores_of_the_class_name_and_of_controls():
    pairs = [
        pair("a", "polyp", 80.0, kind="class_name", found=20, blank_pixels=4, blank_dice=10.0),
        pair("b", "polyp", 100.0, kind="class_name", found=0, label=0),
        pair("a", "a", 60.0, kind="contentless", found=30),
        pair("b", "a", 0.0, kind="contentless", found=50, label=0),
        pair("a", "background", 0.0, kind="contradictory", found=0),
        pair("b", "background", 100.0, kind="contradictory", found=0, label=0),
    ]
    found = summarize_variation(pairs, FEW)
    own = found["class_name"]
    expected = {"pairs": 2, "dice": 90, "dice_foreground": 80, "iou_foreground": 40, "found": 50, "area": 5}
    assert {name: own[name] for name in expected} == expected
    assert (own["blank_dice"], own["blank_area"]) == (5, 1)
    contentless = found["contentless"]
    assert (contentless["texts"], contentless["pairs"], contentless["found"]) == (1, 2, 100)
    assert contentless["area"] == contentless["by_text"]["a"]["area"] == pytest.approx((15 + 25) / 2)
    assert contentless["iou_foreground"] == 30  # of the image with foreground
    assert contentless["intervals"]["found"] is None  # both are 100
    assert found["contradictory"]["by_text"]["background"]["found"] == 0


def test_a_text_that_an_image_lacks_is_left_out():
    found = summarize_variation([*TEXTS, pair("a", "p4", 0.0), pair("a", "p1", 5.0, kind="class_name")], FEW)
    assert found["text_set"] == summarize_variation(TEXTS, FEW)["text_set"]
    assert found["class_name"]["pairs"] == 0


def test_without_texts_of_a_set_its_values_are_none():
    found = summarize_variation([pair("a", "polyp", 80.0, kind="class_name")], FEW)
    assert found["class_name"]["dice"] == 80
    nothing = found["text_set"]
    assert (nothing["pairs"], nothing["texts"], nothing["by_text"]) == (0, 0, {})
    assert {nothing[name] for name in ("dice", "range", "standard_deviation", "worst", "best")} == {None}
    one = summarize_variation([pair("a", "p1", 80.0)], FEW)["text_set"]
    assert (one["range"], one["standard_deviation"]) == (0, None)


def test_pairs_of_a_patient_are_one_cluster():
    one = [pair(image, "p1", dice, group="patient") for image, dice in (("a", 10.0), ("b", 90.0))]
    assert summarize_variation(one, FEW)["text_set"]["intervals"]["dice"] is None
