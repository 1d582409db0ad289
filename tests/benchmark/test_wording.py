"""The report's section on several texts for a class, with numbers worked out by hand."""

from __future__ import annotations

import csv
import json
from statistics import stdev

import pytest
from sample_results import texts_summary, write_experiment

from monai_tunevlseg.benchmark import build_report, read_results, write_report
from monai_tunevlseg.benchmark.wording import build_wording

SETS = {"lesion": {"a spot": 80.0, "lesions": 60.0}}


def write(folder, name, sets=None, **levels):
    metrics = {"texts": texts_summary(SETS if sets is None else sets, **levels)}
    return write_experiment(folder, f"ultrasound/clipseg_{name}", [80], metrics=metrics)


def wording(folder):
    (found,) = build_wording(read_results(folder).experiments)
    return found


def numbers(row, *names):
    return [row.measures[name].value for name in names]


def test_numbers_of_one_run(tmp_path):
    write(tmp_path, "vpt", own=90.0, contentless=30.0, contradictory=10.0)
    found = wording(tmp_path)
    (row,) = found.rows
    assert numbers(row, "dice", "set_dice", "standard_deviation", "range") == [
        90,
        70,
        pytest.approx(stdev([80, 60])),
        20,
    ]
    assert (row.worst.value, row.worst_texts) == (60, ["lesions"])
    assert numbers(row, "blank_dice", "set_blank_dice") == [45, 35]  # half of Dice
    assert numbers(row, "contentless_found", "contentless_iou") == [60, 15]  # the double, and half, of Dice
    assert numbers(row, "contradictory_found", "contradictory_iou") == [20, 5]
    assert row.measures["dice"].interval == (85, 95) and row.measures["range"].interval is None
    assert found.has_text_sets and not found.classes  # a single class is all of them
    texts = {(text.kind, text.text): text.dice for text in found.texts}
    assert texts == {
        ("text_set", "a spot"): [80],
        ("text_set", "lesions"): [60],
        ("contentless", "something"): [30],
        ("contradictory", "background"): [10],
    }


def test_zero_shot_is_beside_the_tuned_and_each_variant_below_its_experiment(tmp_path):
    for name in ("vpt", "vpt-robust", "coop"):
        write(tmp_path, name)
    write(tmp_path, "zero_shot", {"lesion": {"a spot": 20.0}})
    found = wording(tmp_path)
    assert [row.title.removeprefix("CLIPSeg ") for row in found.rows] == ["zero-shot", "VPT", "VPT, robust", "CoOp"]
    assert [row.measures["standard_deviation"].value is None for row in found.rows] == [True, False, False, False]
    texts = {text.text: text.dice for text in found.texts}
    assert texts["a spot"] == [20, 80, 80, 80] and texts["lesions"] == [None, 60, 60, 60]


def test_seeds_are_one_row_which_names_the_worst_text_of_each(tmp_path):
    write(tmp_path, "vpt-seed0", own=90.0)
    write(tmp_path, "vpt-seed1", {"lesion": {"a spot": 40.0, "lesions": 60.0}}, own=80.0)
    found = wording(tmp_path)
    (row,) = found.rows
    assert (row.measures["dice"].value, row.measures["dice"].std) == (85, pytest.approx(stdev([90, 80])))
    assert (row.worst.value, row.worst_texts) == (50, ["lesions", "a spot"])
    assert row.measures["dice"].interval is None
    assert {text.text: text.dice for text in found.texts}["a spot"] == [60]


def test_each_class_has_its_worst_text(tmp_path):
    write(tmp_path, "vpt", {"cyst": {"cysts": 50.0, "a sac": 40.0}, "tumor": {"tumors": 70.0, "a mass": 90.0}})
    found = wording(tmp_path)
    assert [(row.class_name, row.worst.value, row.worst_texts) for row in found.classes] == [
        ("cyst", 40, ["a sac"]),
        ("tumor", 70, ["tumors"]),
    ]
    (row,) = found.rows
    assert (row.worst.value, row.worst_texts) == (55, [])  # no text is the worst of both
    assert [text.class_name for text in found.texts] == ["cyst"] * 4 + ["tumor"] * 4


def test_sections_of_the_page_and_files(tmp_path):
    write(tmp_path, "vpt", {"lesion": {"<b>spot</b>": 61.25, "lesions": 80.0}}, own=90.0)
    write_report(tmp_path)
    report = tmp_path / "report"
    page, text = (report / "report.html").read_text(), (report / "report.md").read_text()
    assert 'id="wording"' in page and "<b>spot" not in page + text
    for number in ("90.0", "85.0 to 95.0", "70.6", "18.8", "&lt;b&gt;spot&lt;/b&gt;"):
        assert f">{number}<" in page, number
    assert "| 61.2 &lt;b&gt;spot&lt;/b&gt; |" in text
    with (report / "texts.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["dice"], row["dice_low"], row["range"], row["worst"], row["worst_text"]) == (
        *("90.0", "85.0", "18.75", "61.25"),
        "<b>spot</b>",
    )


def test_without_text_sets_their_columns_are_left_out(tmp_path):
    write(tmp_path, "vpt", {"lesion": {}})
    write_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'id="wording"' in page and "worst text</th>" not in page
    assert not wording(tmp_path).has_text_sets


def test_results_without_texts_have_no_section(tmp_path):
    write_experiment(tmp_path, "ultrasound/clipseg_vpt", [80])
    write_report(tmp_path)
    assert 'id="wording"' not in (tmp_path / "report" / "report.html").read_text()
    assert not build_report(tmp_path).wording and not (tmp_path / "report" / "texts.csv").read_text()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("class_name", "dice"), 101),
        (("text_set",), None),
        (("text_set", "worst"), {"name": "a"}),
        (("text_set", "by_text", "lesions"), {}),
        (("contentless", "by_text"), []),
        (("contradictory", "intervals"), None),
        (("contradictory", "found"), float("nan")),
        (("classes", "lesion", "text_set", "range"), "20"),
    ],
)
def test_damaged_texts_are_named_and_left_out(path, value, tmp_path):
    file = write(tmp_path, "vpt") / "metrics.json"
    content = json.loads(file.read_text())
    place = content["texts"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    file.write_text(json.dumps(content))
    results = read_results(tmp_path)
    assert "texts" not in results.experiments[0].metrics
    assert ["'texts'" in problem.message for problem in results.problems] == [True]
