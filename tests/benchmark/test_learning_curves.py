"""Learning curves with numbers chosen by the test, their sentences and their figure."""

from __future__ import annotations

import csv
import json
import re
from statistics import stdev
from xml.etree import ElementTree

import numpy as np
import pytest
from sample_results import write_experiment

from monai_tunevlseg.benchmark import build_report, read_results, write_report
from monai_tunevlseg.benchmark.learning_curve_figure import learning_curve_figure
from monai_tunevlseg.benchmark.learning_curves import (
    RESAMPLES,
    Curve,
    CurvePoint,
    DatasetCurves,
    build_learning_curves,
    enough_text,
    images_text,
)
from monai_tunevlseg.benchmark.measure import Measure
from monai_tunevlseg.benchmark.seed_runs import read_experiment_scores
from monai_tunevlseg.evaluation import Bootstrap
from monai_tunevlseg.evaluation.crossed_bootstrap import crossed_mean

SHOTS = {1: 2, 4: 8, None: 90}  # with the training images


def write_curve(results, bundle, level, seeds=(0, 1), images=SHOTS, dataset="kvasir"):
    """Write runs whose Dice is a level for each number of shots, with 0, 6 or 12 more by pair and 1 more per seed."""
    for num_shots, count in images.items():
        for seed in seeds:
            name = f"{dataset}/{bundle}" + (f"-shots{num_shots}" if num_shots else "") + f"-seed{seed}"
            dices = [level[num_shots] + more + seed for more in (0, 6, 12)]
            write_experiment(results, name, dices, facts={"training_images": count})


@pytest.fixture
def results(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_zero_shot", [10, 20])
    write_curve(tmp_path, "clipseg_vpt", {1: 40, 4: 70, None: 80})
    write_curve(tmp_path, "clipseg_coop", {1: 50, 4: 60, None: 62})
    return tmp_path


def curves_of(results, metric="dice"):
    problems = []
    stored = read_results(results).experiments
    (found,) = build_learning_curves(stored, read_experiment_scores(stored, metric, problems), metric)
    assert not problems
    return found


def curve(*points, title="CLIPSeg VPT"):
    """Return a curve of (shots, images, Dice, low, high)."""
    made = [CurvePoint(shots, n, 3, 24, Measure(dice, 1.0, (low, high)), {}) for shots, n, dice, low, high in points]
    return Curve(title, True, made)


def test_points_are_means_over_seeds_from_few_images_to_all(results):
    found = curves_of(results)
    assert [c.title for c in found.curves] == ["CLIPSeg zero-shot", "CLIPSeg VPT", "CLIPSeg CoOp"]
    assert [c.title for c in found.with_shots] == ["CLIPSeg VPT", "CLIPSeg CoOp"]
    assert [c.title for c in found.untrained] == ["CLIPSeg zero-shot"]
    vpt = found.with_shots[0]
    assert [(point.num_shots, point.images, point.runs) for point in vpt.points] == [
        (1, 2, 2),
        (4, 8, 2),
        (None, 90, 2),
    ]
    assert [point.dice.value for point in vpt.points] == pytest.approx([46.5, 76.5, 86.5])
    assert vpt.points[0].dice.std == pytest.approx(stdev([46, 47]))
    scores = np.array([[40, 46, 52], [41, 47, 53]], dtype=float)
    expected = crossed_mean([scores], ["a", "b", "c"], Bootstrap(resamples=RESAMPLES)).interval
    assert vpt.points[0].dice.interval == pytest.approx(expected) and expected[0] < 46.5 < expected[1]
    assert vpt.most.test_images == 3 and vpt.target == pytest.approx(0.95 * 86.5)
    assert found.class_names == []  # a single class


def test_the_metric_can_be_chosen(results):
    assert curves_of(results, "dice_original").with_shots[0].most.dice.value == pytest.approx(85.5)


def test_classes_have_curves_of_their_own(tmp_path):
    pairs = {"lesion": [60.0, 70.0], "vessel": [20.0, 50.0]}
    classes = {name: {"dice": np.mean(dices)} for name, dices in pairs.items()}
    for seed in (0, 1):
        for shots, images in (("-shots4", 8), ("", 90)):
            name, facts = f"kvasir/clipseg_vpt{shots}-seed{seed}", {"training_images": images}
            folder = write_experiment(tmp_path, name, [60, 70, 20, 50], facts=facts, metrics={"classes": classes})
            table = (folder / "pairs.csv").read_text().splitlines()
            table[3:] = [re.sub(r",lesion,", ",vessel,", line, count=1) for line in table[3:]]
            (folder / "pairs.csv").write_text("\n".join(table) + "\n")
    found = curves_of(tmp_path)
    assert found.class_names == ["lesion", "vessel"]
    (few, _) = found.with_shots[0].points
    assert few.classes["lesion"].value == 65 and few.classes["vessel"].value == 35
    for name, measure in few.classes.items():
        expected = crossed_mean([np.array([pairs[name]] * 2)], ["a", "b"], Bootstrap(resamples=RESAMPLES)).interval
        assert measure.interval == pytest.approx(np.clip(expected, 0, 100))
    assert few.dice.interval[0] < 50 < few.dice.interval[1]
    assert {"all classes", "lesion", "vessel"} <= set(texts(learning_curve_figure(found)))


def test_tables_show_full_data_only(results):
    report = build_report(results)
    table = report.tables[0]
    assert {row.method: row.cells["kvasir"].value for row in table.rows} == pytest.approx(
        {"zero_shot": 15, "vpt": 86.5, "coop": 68.5}
    )
    full, *few = report.comparisons
    assert len(full.methods) == 2 and full.score == pytest.approx(86.5) and full.num_shots is None
    assert [comparison.num_shots for comparison in few] == [shots for shots in SHOTS if shots]
    assert len(report.costs) == len(report.results) == 1 + 2 * 2 * 3
    assert {(cost["num_shots"], cost["training_images"]) for cost in report.costs if cost["method"] == "vpt"} == set(
        SHOTS.items()
    )


def test_the_report_has_curves_and_numbers(results):
    write_report(results)
    output = results / "report"
    page, text = ((output / name).read_text() for name in ("report.html", "report.md"))
    assert page.index('id="recommendations"') < page.index('id="learning-curves"') < page.index('id="table3"')
    assert "![](figures/learning_curves_kvasir.svg)" in text and "| CLIPSeg VPT | 4 | 8 | 76.5 ± 0.7 (" in text
    assert "| CLIPSeg zero-shot | 0 | – | 15.0" in text
    assert "95 % of the Dice with all 90 images" in page and "95 % of the Dice with all 90 images" in text
    assert {"CLIPSeg VPT", "CLIPSeg CoOp", "CLIPSeg zero-shot", "2", "8", "90"} <= set(
        texts((output / "figures" / "learning_curves_kvasir.svg").read_text())
    )
    with (output / "learning_curves.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "CLIPSeg VPT"]
    assert [(row["num_shots"], row["training_images"], row["seeds"], row["dice"]) for row in rows] == [
        ("1", "2", "2", "46.5"),
        ("4", "8", "2", "76.5"),
        ("", "90", "2", "86.5"),
    ]
    assert all(float(row["dice_low"]) < float(row["dice"]) < float(row["dice_high"]) for row in rows)


@pytest.mark.parametrize(
    ("used", "shown"),
    [
        ({}, ["The validation split is whole"]),
        ({"val_fraction": "same"}, ["The validation split is reduced"]),
        ({"val_fraction": None}, ["The validation split is whole"]),
        ({"val_fraction": 0.5}, []),
    ],
)
def test_what_favors_few_images_is_said(used, shown, tmp_path):
    for name, facts in (("-shots4", {"searched": "kvasir/clipseg_vpt"}), ("", {})):
        write_experiment(tmp_path, f"kvasir/clipseg_vpt{name}", [80, 90], facts={"hyperparameters": used, **facts})
    write_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    sentences = ("The validation split is whole", "The validation split is reduced")
    assert [text for text in sentences if text in page] == shown
    assert "a search with all images" in page


def test_results_without_shots_have_no_curves(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    report = write_report(tmp_path)
    assert not report.with_shots and not report.learning_curve_figures
    assert 'id="learning-curves"' not in (tmp_path / "report" / "report.html").read_text()


def test_results_of_the_former_format_are_full_data(results):
    """Without num_shots and training_images: their point is in the table, but has no place on the axis."""
    for seed in (0, 1):
        path = results / "kvasir" / f"clipseg_vpt-seed{seed}" / "result.json"
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in facts.items() if k not in ("num_shots", "training_images")}))
    vpt = curves_of(results).with_shots[0]
    assert (vpt.most.num_shots, vpt.most.images, images_text(vpt, vpt.most)) == (None, None, "all images")
    assert vpt.most.dice.value == pytest.approx(86.5)
    assert learning_curve_figure(DatasetCurves("kvasir", [vpt], [])) is not None
    assert not write_report(results).problems[1:]  # one: the examples, which the test does not write


def test_an_unreadable_table_of_pairs_is_named(results):
    (results / "kvasir" / "clipseg_vpt-shots4-seed1" / "pairs.csv").unlink()
    report = build_report(results)
    few, some, full = report.learning_curves[0].with_shots[0].points
    assert some.dice.interval is None and some.dice.value == pytest.approx(76.5)
    assert few.dice.interval and full.dice.interval
    assert [problem.place for problem in report.problems if "pairs.csv" in problem.place] == [
        "kvasir/clipseg_vpt-shots4-seed1/pairs.csv"
    ]


def test_the_smallest_number_of_images_that_is_enough():
    """95 % of 80 is 76: the interval of 4 shots is the first to reach it, and that of 16 shots lies above it."""
    found = curve((1, 2, 50, 40, 60), (4, 8, 70, 62, 77), (16, 30, 78, 76, 80), (None, 90, 80, 77, 83))
    text = enough_text(found)
    assert re.search(r"all 90 images, that is 76\.0,.* 4 images per class \(8 in all\) \(62\.0 to 77\.0\)", text)
    assert re.search(r"above it with 16 images per class \(30 in all\)", text)


@pytest.mark.parametrize(
    ("points", "pattern"),
    [
        ([(1, 2, 50, 40, 60), (None, 90, 80, 70, 83)], r"is all 90 images \(70\.0 to 83\.0\).* No whole interval"),
        ([(1, 2, 50, 40, 60), (4, 8, 70, 62, 77)], "Without a run with all images"),
    ],
)
def test_few_images_that_are_not_enough(points, pattern):
    assert re.search(pattern, enough_text(curve(*points)))


@pytest.mark.parametrize(
    ("num_shots", "images", "expected"),
    [
        (1, 2, "1 image per class (2 in all)"),
        (16, None, "16 images per class"),
        (None, 90, "all 90 images"),
        (None, None, "all images"),
        (4, 10.67, "4 images per class (11 in all)"),
        (64, 90, "64 images per class (all 90)"),
        (16, 16, "16 images"),
    ],
)
def test_numbers_of_images_in_words(num_shots, images, expected):
    point = CurvePoint(num_shots, images, 1, None, Measure(50.0), {})
    full = CurvePoint(None, 90 if num_shots else images, 1, None, Measure(60.0), {})
    assert images_text(Curve("VPT", True, [point, full]), point) == expected


def test_curves_without_intervals_are_lines_without_bands():
    points = [CurvePoint(shots, n, 1, None, Measure(50.0 + n), {}) for shots, n in ((4, 8), (None, 30))]
    plain = learning_curve_figure(DatasetCurves("kvasir", [Curve("VPT", True, points)], []))
    banded = learning_curve_figure(DatasetCurves("kvasir", [curve((4, 8, 58, 50, 60), (None, 30, 80, 70, 83))], []))
    assert "VPT" in texts(plain) and len(shapes(plain)) < len(shapes(banded))


def test_labels_of_the_axis_do_not_overlap():
    found = curve((1, 1, 50, 40, 60), (64, 98, 79, 70, 82), (None, 100, 80, 70, 83))
    shown = texts(learning_curve_figure(DatasetCurves("kvasir", [found], [])))
    assert "100" in shown and "1" in shown and "98" not in shown


def shapes(svg):
    """Return the filled shapes of a figure that are nearly transparent."""
    return re.findall(r"fill-opacity: 0\.12", svg)


def texts(svg):
    """Return the texts of a figure, which Matplotlib writes as comments before the glyphs."""
    ElementTree.fromstring(svg)
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg)]
