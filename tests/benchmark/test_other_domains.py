"""Transfers in a results folder: means over seeds by hand, and damaged files."""

from __future__ import annotations

import csv
import json
import re
from statistics import stdev

import pytest
from sample_results import write_experiment

from monai_tunevlseg.benchmark import write_report
from monai_tunevlseg.benchmark.other_domains import read_other_domains
from monai_tunevlseg.transfer.result_files import write_transfer


def scores(source, datasets):
    """Return the scores of one network on its source and on targets, all with an interval of 5 up and down."""
    own, *others = ((name, dice) for name, dice in {**source, **datasets}.items())
    ood = sum(dice for _, dice in others) / len(others)
    values = {"id": own[1], "ood": ood, "harmonic_mean": 2 * own[1] * ood / (own[1] + ood)}
    summary = values | {f"{name}_interval": [value - 5, value + 5] for name, value in values.items()}
    parts = [
        {
            "name": name,
            "part": "all",
            "pairs": 4,
            "images": 4,
            "scores": {"dice": dice},
            "intervals": {"dice": [dice - 5, dice + 5]},
        }
        for name, dice in (own, *others)
    ]
    return {"source": parts[0], "targets": parts[1:], "summary": {"dice": summary}}


def write_run(results, run, source, datasets, zero_shot=None):
    (trained_on,) = source
    tuned = scores(source, datasets)
    content = {"run": run, "trained_on": trained_on, "checkpoint_digest": "0" * 8, "tuned": tuned}
    untrained = None if zero_shot is None else scores(*zero_shot)
    write_transfer(results / "transfer" / run, {**content, "zero_shot": untrained})


@pytest.fixture
def results(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    write_run(tmp_path, "kvasir/clipseg_vpt-seed0", {"kvasir": 80}, {"colondb": 60, "busi": 20})
    write_run(tmp_path, "kvasir/clipseg_vpt-seed1", {"kvasir": 84}, {"colondb": 50, "busi": 20})
    zero_shot = {"busi": 10}, {"kvasir": 30}
    write_run(tmp_path, "busi/clipseg_vpt", {"busi": 70}, {"kvasir": 40}, zero_shot)
    return tmp_path


def test_rows_are_means_over_the_seeds(results):
    problems = []
    matrix = read_other_domains(results, "dice", problems)
    assert not problems
    assert [(row.title, row.trained_on, row.runs) for row in matrix.rows] == [
        ("busi/clipseg_vpt, zero-shot", None, 1),
        ("busi/clipseg_vpt", "busi", 1),
        ("kvasir/clipseg_vpt", "kvasir", 2),
    ]
    assert set(matrix.names) == {"busi", "kvasir", "colondb"} and matrix.names[-1] == "colondb"
    untrained, alone, seeded = matrix.rows
    assert seeded.datasets["colondb"].value == 55 and seeded.datasets["colondb"].std == pytest.approx(stdev([60, 50]))
    assert seeded.datasets["colondb"].interval is None  # of two runs
    assert seeded.summary["id"].value == 82 and seeded.summary["ood"].value == 37.5
    expected = (2 * 80 * 40 / 120 + 2 * 84 * 35 / 119) / 2
    assert seeded.summary["harmonic_mean"].value == pytest.approx(expected)
    assert alone.datasets["kvasir"].interval == (35, 45) and "colondb" not in alone.datasets
    assert untrained.datasets["busi"].value == 10


def test_seeds_that_were_tested_on_other_datasets_are_not_averaged(results):
    write_run(results, "others/kvasir/clipseg_vpt-seed0", {"kvasir": 80}, {"etis": 10})
    place = results / "transfer" / "others" / "kvasir" / "clipseg_vpt-seed0" / "transfer.json"
    place.write_text(place.read_text().replace("others/", ""))  # the same run in another transfer
    rows = [row for row in read_other_domains(results, "dice", []).rows if row.trained_on == "kvasir"]
    assert {(row.title, row.runs, row.summary["ood"].value) for row in rows} == {
        ("kvasir/clipseg_vpt", 2, 37.5),
        ("kvasir/clipseg_vpt", 1, 10),
    }


def test_scores_on_images_of_the_training_are_named(results):
    for seed, images in ((0, ["a.png"]), (1, ["a.png", "b.png"])):
        place = results / "transfer" / "kvasir" / f"clipseg_vpt-seed{seed}" / "transfer.json"
        content = json.loads(place.read_text())
        content["tuned"]["targets"][0]["seen_in_training"] = {"copies": images, "near_duplicates": ["c.png"]}
        place.write_text(json.dumps(content))
    assert read_other_domains(results, "dice", []).seen == {("kvasir", "colondb"): (3, 4)}
    write_report(results)
    for name in ("report.html", "report.md"):
        assert "3 of 4 of colondb by runs on kvasir" in (results / "report" / name).read_text()


def test_runs_with_few_images_are_folded_in_the_order_of_their_numbers(results):
    for shots in (16, 4):
        write_run(results, f"kvasir/clipseg_vpt-shots{shots}-seed0", {"kvasir": 70 + shots}, {"colondb": 40, "busi": 9})
    names = [row.title for row in read_other_domains(results, "dice", []).rows if row.trained_on == "kvasir"]
    assert names == [f"kvasir/clipseg_vpt{shots}" for shots in ("-shots4", "-shots16", "")]
    write_report(results)
    page = (results / "report" / "report.html").read_text()
    section = page[page.index('id="other-domains"') :]
    whole, folded, _ = re.split("<details>|</details>", section, maxsplit=2)
    assert "kvasir/clipseg_vpt<" in whole and "shots" not in whole
    assert folded.index("clipseg_vpt-shots4<") < folded.index("clipseg_vpt-shots16<") and "busi/" not in folded


def test_a_score_that_is_missing_on_a_dataset_is_named(results):
    place = results / "transfer" / "busi" / "clipseg_vpt" / "transfer.json"
    content = json.loads(place.read_text())
    content["tuned"]["targets"][0]["scores"]["dice"] = None
    place.write_text(json.dumps(content))
    problems = []
    assert len(read_other_domains(results, "dice", problems).rows) == 1
    assert [("'dice'" in problem.message, "kvasir" in problem.message) for problem in problems] == [(True, True)]


def test_the_report_has_the_matrix(results):
    write_report(results)
    output = results / "report"
    page, text = ((output / name).read_text() for name in ("report.html", "report.md"))
    assert 'id="other-domains"' in page and "kvasir/clipseg_vpt" in page and "35.0 to 45.0" in page
    assert "| kvasir | kvasir/clipseg_vpt | 20.0 ± 0.0 | 82.0 ± 2.8 | 55.0 ± 7.1 | 82.0 ± 2.8 | 37.5 ± 3.5 |" in text
    with (output / "transfer.csv").open() as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert rows["kvasir/clipseg_vpt"]["colondb"] == "55.0" and rows["busi/clipseg_vpt"]["colondb"] == ""
    assert rows["busi/clipseg_vpt, zero-shot"]["trained_on"] == "zero-shot"


def test_reports_without_transfers_have_no_matrix(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 90])
    write_report(tmp_path)
    assert 'id="other-domains"' not in (tmp_path / "report" / "report.html").read_text()
    assert (tmp_path / "report" / "transfer.csv").read_text() == ""


@pytest.mark.parametrize("content", ["{", '{"format_version": 9}', '{"format_version": 1}'])
def test_damaged_transfers_are_named_and_left_out(content, results):
    place = results / "transfer" / "busi" / "clipseg_vpt" / "transfer.json"
    place.write_text(content)
    problems = []
    matrix = read_other_domains(results, "dice", problems)
    assert [row.title for row in matrix.rows] == ["kvasir/clipseg_vpt"]
    assert [problem.place for problem in problems] == ["transfer/busi/clipseg_vpt/transfer.json"]


def test_a_metric_that_was_not_measured_is_named(results):
    problems = []
    assert not read_other_domains(results, "dice_original", problems).rows
    assert len(problems) == 3 and all("dice_original" in problem.message for problem in problems)
