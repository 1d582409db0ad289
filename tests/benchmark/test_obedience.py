"""The report's sections on absent texts, confused classes and calibration, with numbers worked out by hand."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from statistics import stdev

import numpy as np
import pytest
from sample_results import absent_summary, calibration_summary, write_experiment

from monai_tunevlseg.benchmark import build_report, read_results, write_report
from monai_tunevlseg.benchmark.obedience import RESAMPLES, build_obedience
from monai_tunevlseg.benchmark.seed_runs import group_seeds
from monai_tunevlseg.benchmark.sureness import build_sureness, pool_bins
from monai_tunevlseg.evaluation import ABSENT_PAIRS, AbsentPair, Bootstrap, crossed_mean, write_absent_pairs

DRAWN = {"negative_texts": "3", "negative_source": ["car"]}
VARIANT = "ultrasound/clipseg_vpt-negative_texts"


def obedience(folder, problems=None):
    (found,) = build_obedience(read_results(folder).experiments, "dice", [] if problems is None else problems)
    return found


def write_plain(folder, rates=(80.0, 40.0), **changes):
    metrics = {"absent": absent_summary(dict(zip(("car", "dog"), rates, strict=True))), **changes}
    return write_experiment(folder, "ultrasound/clipseg_vpt", [80, 60, 100], areas=[9, 9, 0], metrics=metrics)


def test_numbers_of_one_run(tmp_path):
    write_plain(tmp_path)
    (row,) = obedience(tmp_path).rows
    assert (row.dice.value, row.rate.value, row.area.value) == (70, 60, 6)  # without the empty mask
    assert (row.mcc.value, row.cgf1.value, row.runs) == (0.5, 20, 1)
    assert row.rate.interval == (55, 65) and row.area.interval is row.rate.std is row.ratio is row.undrawn_rate is None
    stored = json.loads((tmp_path / "ultrasound" / "clipseg_vpt" / "metrics.json").read_text())
    assert row.dice.interval == tuple(stored["intervals"]["dice_foreground"])
    (of_class,) = obedience(tmp_path).classes
    assert (of_class.class_name, of_class.dice.value, of_class.mcc.value) == ("lesion", 70, 0.4)


def test_a_variant_stands_below_the_experiment_that_it_changes(tmp_path):
    write_plain(tmp_path)
    rates = {"car": 10.0, "dog": 20.0}
    write_experiment(
        tmp_path, VARIANT, [80], facts={"hyperparameters": DRAWN}, metrics={"absent": absent_summary(rates)}
    )
    for name in ("zero_shot", "coop"):
        metrics = {"absent": absent_summary({"car": 0.0, "dog": 0.0})}
        write_experiment(tmp_path, f"ultrasound/clipseg_{name}", [5], metrics=metrics)
    found = obedience(tmp_path)
    titles = ["zero-shot", "VPT", "VPT + negative texts", "CoOp"]
    assert [row.title for row in found.rows] == [f"CLIPSeg {title}" for title in titles]
    assert [row.ratio for row in found.rows] == [None, None, 15 / 60, None]
    assert [row.undrawn_rate.value for row in found.rows] == [0, 40, 20, 0]  # of the dog
    texts = {text.text: (text.drawn, text.rates) for text in found.texts}
    assert texts == {"car": (True, [0, 80, 10, 0]), "dog": (False, [0, 40, 20, 0])}


def test_texts_of_a_source_without_a_list_are_not_told_apart(tmp_path):
    used = {**DRAWN, "negative_source": "pool"}
    metrics = {"absent": absent_summary({"car": 10.0})}
    write_experiment(tmp_path, VARIANT, [80], facts={"hyperparameters": used}, metrics=metrics)
    found = obedience(tmp_path)
    assert found.rows[0].undrawn_rate is None and not found.texts[0].drawn


def write_seeds(folder, rates=(60.0, 40.0, 20.0)):
    """Three seeds on two images, both asked for one text; the first image is right with all seeds."""
    for seed, rate in enumerate(rates):
        name = f"ultrasound/clipseg_vpt-seed{seed}"
        metrics = {"absent": absent_summary({"car": rate}, mcc=0.1 * seed)}
        place = write_experiment(folder, name, [80 + 3 * seed, 60 + 3 * seed], metrics=metrics)
        pairs = [AbsentPair(f"{number}.png", None, "car", None, 9 * number * (seed < 2), 100) for number in (0, 1)]
        write_absent_pairs(place / ABSENT_PAIRS, pairs)


def test_seeds_are_one_row_with_their_spread(tmp_path):
    write_seeds(tmp_path)
    problems = []
    (row,) = obedience(tmp_path, problems).rows
    assert (row.dice.value, row.dice.std, row.runs) == (pytest.approx(73), pytest.approx(3), 3)
    assert (row.rate.value, row.rate.std) == (pytest.approx(40), pytest.approx(20))
    assert (row.mcc.value, row.mcc.std) == (pytest.approx(0.1), pytest.approx(stdev([0, 0.1, 0.2])))
    scores = {"rate": [[0, 100], [0, 100], [0, 0]], "dice": [[80, 60], [83, 63], [86, 66]]}
    for name, of_seeds in scores.items():
        expected = crossed_mean([np.array(of_seeds)], ["0", "1"], Bootstrap(resamples=RESAMPLES))
        assert getattr(row, name).interval == pytest.approx(expected.interval_within(0, 100))
    assert not problems


@pytest.mark.parametrize("damage", [lambda file: file.write_text("image,slice\n1.png,x\n"), lambda file: file.unlink()])
def test_unreadable_absent_pairs_are_named_once(damage, tmp_path):
    write_seeds(tmp_path)
    damage(tmp_path / "ultrasound" / "clipseg_vpt-seed1" / ABSENT_PAIRS)
    problems = []
    (row,) = obedience(tmp_path, problems).rows
    assert row.rate.interval is None and row.rate.value == pytest.approx(40)
    assert ["clipseg_vpt-seed1" in problem.message for problem in problems] == [True]


def test_seeds_are_one_cell_of_table_3_and_one_comparison(tmp_path):
    write_seeds(tmp_path)
    write_experiment(tmp_path, "ultrasound/clipseg_coop", [70, 56])
    report = build_report(tmp_path)
    vpt, _ = report.tables[0].rows
    assert vpt.cells["ultrasound"].value == pytest.approx(73)
    (compared,) = report.comparisons
    assert compared.best == "CLIPSeg VPT" and compared.score == pytest.approx(73)
    (method,) = compared.methods
    assert method.comparison.difference == pytest.approx(63 - 73)


def test_a_run_of_the_bundles_seed_does_not_count_beside_those_of_given_seeds(tmp_path):
    write_seeds(tmp_path)
    write_plain(tmp_path)  # Dice 70 over the pairs with foreground
    (row,) = obedience(tmp_path).rows
    assert row.runs == 3 and row.dice.value == pytest.approx(73)
    (vpt,) = build_report(tmp_path).tables[0].rows
    assert vpt.cells["ultrasound"].value == pytest.approx(73)


def test_seeds_are_in_order(tmp_path):
    for seed in (10, 2):
        write_experiment(tmp_path, f"ultrasound/clipseg_vpt-seed{seed}", [80])
    ((first, second),) = group_seeds(read_results(tmp_path).experiments)
    assert (first.spec.seed, second.spec.seed) == (2, 10)


def test_seeds_with_other_pairs_are_not_compared(tmp_path):
    write_experiment(tmp_path, "ultrasound/clipseg_vpt-seed0", [80, 90])
    write_experiment(tmp_path, "ultrasound/clipseg_vpt-seed1", [80])
    write_experiment(tmp_path, "ultrasound/clipseg_coop", [70, 56])
    report = build_report(tmp_path)
    assert not report.comparisons
    assert "ultrasound/clipseg_vpt-seed1/pairs.csv" in [problem.place for problem in report.problems]


def test_confused_classes(tmp_path):
    tables = [{"a": {"a": cell(iou), "b": cell(10.0)}, "b": {"b": cell(50.0)}} for iou in (80.0, 60.0)]
    for seed, table in enumerate(tables):
        metrics = {"absent": absent_summary({"car": 0.0}), "confusion": table}
        write_experiment(tmp_path, f"ultrasound/clipseg_vpt-seed{seed}", [80], metrics=metrics)
    (table,) = obedience(tmp_path).confusions
    assert table.shown == ["a", "b"]
    assert table.rows == [("a", [70, 10]), ("b", [None, 50])]


def cell(iou):
    return {"iou": iou, "images": 3}


def test_calibration_of_seeds(tmp_path):
    for seed, (ece, share, pixels) in enumerate([(0.1, 0.5, 100), (0.3, 0.1, 300)]):
        metrics = {"calibration": calibration_summary(ece, {0: share, 19: 1.0}, pixels)}
        write_experiment(tmp_path, f"ultrasound/clipseg_vpt-seed{seed}", [80], metrics=metrics)
    (found,) = build_sureness(read_results(tmp_path).experiments)
    (row,) = found.rows
    assert [row.ece.value, row.ace.value, row.mce.value, row.brier.value] == pytest.approx([0.2, 0.4, 0.6, 0.1])
    assert row.ece.std == pytest.approx(stdev([0.1, 0.3])) and row.oracle_threshold.value == pytest.approx(0.4)
    assert row.ece.interval is None  # of several seeds
    assert not found.classes  # a single class is all of them
    assert row.temperature.value is row.presence_loss.value is None and not found.fitted


def fit_of(temperature, threshold, presence=None):
    classes = {"lesion": {"temperature": temperature, "threshold": threshold}}
    return {"calibration": {"classes": classes, "presence": presence and {"log_loss": presence}}}


def test_what_training_fitted_is_beside_the_calibration(tmp_path):
    metrics = {"calibration": calibration_summary(0.2, {0: 0.1})}
    for seed, facts in enumerate((fit_of(2.0, 0.5, 0.25), fit_of(1.0, 0.25))):
        write_experiment(tmp_path, f"ultrasound/clipseg_vpt-seed{seed}", [80], facts=facts, metrics=metrics)
    (found,) = build_sureness(read_results(tmp_path).experiments)
    (row,) = found.rows
    assert (row.temperature.value, row.threshold.value, row.presence_loss.value) == (1.5, 0.375, 0.25)
    write_report(tmp_path)
    assert "| 1.50 ± 0.71 | 0.38 ± 0.18 | 0.25 |" in (tmp_path / "report" / "report.md").read_text()
    assert ">presence loss</th>" in (tmp_path / "report" / "report.html").read_text()


def test_classes_have_their_own_temperatures(tmp_path):
    part = calibration_summary(0.2, {0: 0.1})
    metrics = {
        "calibration": {**part, "classes": {"lesion": part["classes"]["lesion"], "cyst": part["classes"]["lesion"]}}
    }
    write_experiment(tmp_path, "ultrasound/clipseg_vpt", [80], facts=fit_of(2.0, 0.5, 0.25), metrics=metrics)
    (found,) = build_sureness(read_results(tmp_path).experiments)
    fitted = {row.class_name: (row.temperature.value, row.presence_loss.value) for row in (*found.rows, *found.classes)}
    assert fitted == {None: (None, 0.25), "cyst": (None, None), "lesion": (2, None)}


def test_calibration_of_one_run_has_its_interval(tmp_path):
    metrics = {"calibration": calibration_summary(0.2, {0: 0.1})}
    write_experiment(tmp_path, "ultrasound/clipseg_vpt", [80], metrics=metrics)
    ((row,),) = (found.rows for found in build_sureness(read_results(tmp_path).experiments))
    assert row.ece.interval == (0.1, 0.4) and row.ace.interval is row.brier.interval is None


def test_bins_are_pooled_by_their_pixels():
    diagrams = [calibration_summary(0.1, {0: 0.5}, 100), calibration_summary(0.1, {0: 0.1, 7: 0.3}, 300)]
    first, other = pool_bins([diagram["reliability"] for diagram in diagrams])
    assert (first.probability, first.share, first.pixels) == (0.025, pytest.approx(0.2), 400)
    assert (other.probability, other.share, other.pixels) == (0.375, pytest.approx(0.3), 300)


def write_both(folder):
    calibration = {"calibration": calibration_summary(0.125, {0: 0.1, 10: 0.7})}
    confusion = {"confusion": {"a": {"a": cell(80.0), "b": cell(12.5)}, "b": {"a": cell(0.0), "b": cell(60.0)}}}
    write_plain(folder, **calibration, **confusion)
    write_report(folder)
    return folder / "report"


def test_sections_of_the_page_and_files(tmp_path):
    report = write_both(tmp_path)
    page, text = (report / "report.html").read_text(), (report / "report.md").read_text()
    for number in ("60.0", "55.0 to 65.0", "6.00", "0.50", "20.0", "0.125", "0.250", "12.5"):
        assert f">{number}<" in page, number
    assert (
        "| CLIPSeg VPT | 70.0" in text
        and "| a | 80.0 | 12.5 |" in text
        and "| all | 0.125 (0.062 to 0.250) | 0.250 |" in text
    )
    ElementTree.parse(report / "figures" / "reliability_ultrasound.svg")
    with (report / "obedience.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {name: row[name] for name in ("rate", "rate_low", "dice", "mcc")} == {
        "rate": "60.0",
        "rate_low": "55.0",
        "dice": "70.0",
        "mcc": "0.5",
    }
    with (report / "confusion.csv").open() as file:
        assert [(row["asked"], row["shown"], row["iou"]) for row in csv.DictReader(file)][1] == ("a", "b", "12.5")


def test_results_without_such_keys_have_no_such_sections(tmp_path):
    write_experiment(tmp_path, "ultrasound/clipseg_vpt", [80])
    write_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'id="obedience"' not in page and 'id="sureness"' not in page
    assert not (tmp_path / "report" / "obedience.csv").read_text()


@pytest.mark.parametrize(
    ("key", "path", "value"),
    [
        ("absent", ("presence", "image_level_mcc"), 2),
        ("absent", ("false_positive_rate",), "60"),
        ("absent", ("by_text", "car", "pairs"), None),
        ("absent", ("intervals",), {}),
        ("absent", ("by_class", "lesion"), []),
        ("absent", ("false_positive_area",), float("nan")),
        ("confusion", ("a", "b", "iou"), -1),
        ("confusion", ("a",), None),
        ("calibration", ("ece",), "x"),
        ("calibration", ("reliability", "pixels"), [1.5]),
        ("calibration", ("classes", "lesion"), {}),
    ],
)
def test_damaged_summaries_are_named_and_left_out(key, path, value, tmp_path):
    write_both(tmp_path)
    file = tmp_path / "ultrasound" / "clipseg_vpt" / "metrics.json"
    content = json.loads(file.read_text())
    place = content[key]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    file.write_text(json.dumps(content))
    results = read_results(tmp_path)
    (result,) = results.experiments
    assert key not in result.metrics and len({"absent", "confusion", "calibration"} & set(result.metrics)) == 2
    assert [repr(key) in problem.message for problem in results.problems] == [True]
