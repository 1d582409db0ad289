"""The best method of a dataset, and what is said about how sure that is."""

from __future__ import annotations

import re

import pytest

from monai_tunevlseg.benchmark.learning_curves import Curve, CurvePoint, DatasetCurves
from monai_tunevlseg.benchmark.measure import Measure
from monai_tunevlseg.benchmark.recommendation import recommend


def curve(title, dice, interval, num_shots=None, trains=True, fewer=()):
    points = [
        CurvePoint(shots, images, 3, 24, Measure(value, 1.0, ends), {})
        for shots, images, value, ends in (*fewer, (num_shots, 90, dice, interval))
    ]
    return Curve(title, trains, points)


def recommended(*curves):
    (found,) = recommend([DatasetCurves("kvasir", curves, [])])
    return found


def test_the_highest_dice_wins_and_overlaps_are_named_by_dice():
    found = recommended(
        curve("zero-shot", 99.0, (98, 100), trains=False),
        curve("CoOp", 70.0, (60, 74.9)),
        curve("LoRA", 78.0, (74, 82)),
        curve("VPT", 80.0, (75, 85)),
        curve("MaPLe", 79.0, (78, 80)),
    )
    assert found.curve.title == "VPT" and [rival.title for rival in found.rivals] == ["MaPLe", "LoRA"]
    assert found.others == 3
    assert "Trained with all 90 images, its Dice is 80.0 (95 % interval 75.0 to 85.0; 3 seeds, 24 test images)." in (
        found.text
    )
    assert re.search(r"not sure.* MaPLe \(79\.0\) and LoRA \(78\.0\) overlap", found.text)
    assert "images per class" not in found.text  # no run with fewer images


def test_intervals_that_only_touch_overlap():
    assert len(recommended(curve("VPT", 80.0, (75, 85)), curve("CoOp", 70.0, (60, 75))).rivals) == 1


def test_a_clear_difference_is_sure():
    text = recommended(curve("VPT", 80.0, (75, 85)), curve("CoOp", 60.0, (55, 65))).text
    assert "No interval of another method overlaps" in text and "CoOp" not in text


def test_an_unknown_interval_leaves_the_order_open():
    found = recommended(curve("VPT", 80.0, None), curve("CoOp", 10.0, (5, 15)))
    assert [rival.title for rival in found.rivals] == ["CoOp"] and "no interval" in found.text
    assert "overlap" not in found.text
    found = recommended(curve("VPT", 80.0, (75, 85)), curve("CoOp", 79.0, (74, 84)), curve("LoRA", 10.0, None))
    assert re.search(r"interval of CoOp \(79\.0\) overlaps .* interval of LoRA \(10\.0\) is not known", found.text)


@pytest.mark.parametrize(
    ("dice", "interval", "named"), [(74.0, (70, 78), True), (50, (40, 60), False), (9, None, True)]
)
def test_a_base_model_that_training_does_not_clearly_improve_is_named(dice, interval, named):
    tuned, worse = curve("VPT", 80.0, (75, 85)), curve("CRIS zero-shot", 5.0, (1, 9), trains=False)
    found = recommended(tuned, worse, curve("zero-shot", dice, interval, trains=False))
    assert (f"zero-shot ({dice:.1f})" in found.text) is named and "CRIS" not in found.text


def test_many_rivals_are_counted():
    curves = [curve(f"method {number}", 80.0 - number, (60, 90)) for number in range(7)]
    assert re.search(r"method 1 .*method 2 .*method 3 \(77\.0\) and 3 more overlap", recommended(*curves).text)


def test_the_only_method_is_not_called_the_best():
    assert "No other method" in recommended(curve("VPT", 80.0, (75, 85))).text


def test_enough_images_are_named():
    fewer = [(4, 8, 70.0, (65, 75)), (16, 32, 79.0, (77, 81))]
    found = recommended(curve("VPT", 80.0, (75, 85), fewer=fewer))
    assert re.search(r"\b76\.0\b.* 16 images per class \(32 in all\)", found.text)


def test_methods_compete_with_the_same_number_of_images():
    found = recommended(curve("VPT", 80.0, (75, 85), num_shots=16), curve("CoOp", 70.0, (60, 75)))
    assert found.curve.title == "CoOp" and found.others == 0  # only it was trained with all images
    few = recommended(curve("VPT", 80.0, (75, 85), num_shots=16), curve("CoOp", 70.0, (60, 75), num_shots=16))
    assert few.curve.title == "VPT" and "Trained with 16 images per class" in few.text


@pytest.mark.parametrize("curves", [[], [curve("zero-shot", 50.0, (40, 60), trains=False)]])
def test_nothing_is_recommended_without_training(curves):
    assert recommend([DatasetCurves("kvasir", curves, [])]) == []
