"""The masks of another tool in the report, beside experiments of a benchmark on the same pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from sample_results import write_experiment
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.benchmark import build_report, read_results, write_report
from monai_tunevlseg.benchmark.benchmark_runner import BenchmarkRunner
from monai_tunevlseg.benchmark.experiment_runner import ExperimentRunner
from monai_tunevlseg.benchmark.settings import BenchmarkFolders, BenchmarkSettings

NAME = "kvasir/nnunet_2d"
STEMS = [f"{number:03}" for number in range(4)]
DICES = [100 * 2 * size / (100 + size) for size in (100, 80, 60, 40)]  # of predictions inside of masks of 100 pixels


def square(size):
    """Return a 20x20 mask whose first N pixels are foreground."""
    return (np.arange(400) < size).reshape(20, 20)


@pytest.fixture
def folder(tmp_path):
    """A dataset whose masks have 100 pixels, predictions of 100 to 40 of them, and our results on the same pairs."""
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "predicted").mkdir()
    for stem, size in zip(STEMS, (100, 80, 60, 40), strict=True):
        Image.fromarray(square(100)).save(tmp_path / "data" / "masks" / f"{stem}.png")
        Image.new("RGB", (20, 20)).save(tmp_path / "data" / "images" / f"{stem}.png")
        Image.fromarray(square(size)).save(tmp_path / "predicted" / f"{stem}.png")
    splits = {"train": STEMS[:1], "val": STEMS[:1], "test": STEMS}
    (tmp_path / "data" / "splits.json").write_text(json.dumps(splits))
    write_experiment(tmp_path / "results", "kvasir/clipseg_vpt", [91, 81, 71, 61])
    write_experiment(tmp_path / "results", "kvasir/clipseg_coop", [90, 80, 71, 61])
    return tmp_path


def run(folder, *options, exit_code=0):
    paths = (folder / "predicted", "folder", folder / "data", "--class-name", "lesion", "--resamples", 50)
    result = CliRunner().invoke(app, ["evaluate-predictions", *map(str, (*paths, *options))])
    assert result.exit_code == exit_code, result.output
    return result


def run_named(folder, *options, exit_code=0):
    return run(folder, "--results", folder / "results", "--experiment", NAME, *options, exit_code=exit_code)


def problems(report):
    """Return the problems by place, without those of experiments that the test made without predictions."""
    return {problem.place: problem.message for problem in report.problems if "clipseg" not in problem.place}


def test_the_report_shows_the_tool_at_the_images_own_resolution(folder):
    titles = ("--model-title", "nnU-Net", "--method-title", "2D", "--trained-parameters", 20_000_000)
    assert NAME in run_named(folder, *titles).stdout
    report = build_report(folder / "results", "dice_original")
    assert problems(report) == {} and report.note is None
    rows = {row.title: row for row in report.tables[0].rows}
    assert list(rows)[-1] == ("nnU-Net", "2D") and rows["nnU-Net", "2D"].group == "image-only"
    assert rows["nnU-Net", "2D"].cells["kvasir"].value == pytest.approx(np.mean(DICES), abs=1e-3)
    assert rows["nnU-Net", "2D"].cells["kvasir"].best
    (comparison,) = report.comparisons
    ours = [90, 80, 70, 60]
    method = next(method for method in comparison.methods if method.title == "nnU-Net 2D")
    assert method.comparison.pairs == 4
    assert method.comparison.difference == pytest.approx(np.mean(np.subtract(DICES, ours)), abs=1e-3)
    details = [thumb.detail for row in report.galleries[0].rows for thumb in row.thumbnails if "nnU" in thumb.caption]
    assert details == [f"{DICES[index]:.1f} %" for index in (0, 2, 3)]
    cost = next(cost for cost in report.costs if cost["model"] == "nnunet")
    assert cost["trained_parameters"] == 20_000_000
    unknown = ("checkpoint_bytes", "seconds_step", "seconds_trial", "seconds_total", "peak_memory_bytes", "device")
    assert {cost[name] for name in unknown} == {None}


def test_the_report_says_that_masks_have_no_score_at_a_models_resolution(folder):
    run_named(folder)
    report = write_report(folder / "results")
    row = next(row for row in report.tables[0].rows if row.model == "nnunet")
    assert row.cells == {} and row.mean is None and row.std is None
    assert "nnunet 2d" in report.note and "dice_original" in report.note
    assert all(method.title != "nnunet 2d" for dataset in report.comparisons for method in dataset.methods)
    text = (folder / "results" / "report" / "report.md").read_text()
    assert "| nnunet | 2d | – | – | – |" in text and report.note in text
    assert "| kvasir | nnunet | 2d | – | – | – | – | – | – | – | – |" in text
    assert "dice_original" in (folder / "results" / "report" / "report.html").read_text()
    assert "nnunet,2d,,," in (folder / "results" / "report" / "table3.csv").read_text()


def test_predictions_of_the_examples_are_those_of_the_tool(folder):
    run_named(folder)
    found = {path.stem: np.asarray(Image.open(path)) for path in (folder / "results" / NAME / "predictions").iterdir()}
    examples = json.loads((folder / "results" / "examples" / "kvasir" / "examples.json").read_text())
    assert [example["image"] for example in examples] == [f"images/{STEMS[index]}.png" for index in (0, 2, 3)]
    for example, size in zip(examples, (100, 60, 40), strict=True):
        np.testing.assert_array_equal(found[example["name"]], square(size))


def test_missing_predictions_are_a_problem_of_the_report(folder):
    (folder / "predicted" / "000.png").unlink()
    run_named(folder, "--missing", "empty")
    found = problems(build_report(folder / "results", "dice_original"))
    assert found.keys() == {NAME} and found[NAME].startswith("1 ")
    assert not np.asarray(Image.open(folder / "results" / NAME / "predictions" / "00000.png")).any()


def test_a_second_run_replaces_the_first(folder):
    for title in ("first", "second"):
        run_named(folder, "--model-title", title)
    titles = [result.facts["titles"]["model"] for result in read_results(folder / "results").experiments]
    assert titles.count("second") == 1 and "first" not in titles


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (["--results", "results"], ["--experiment"]),
        (["--experiment", NAME], ["--results"]),
        (["--results", "results", "--experiment", "nnunet"], ["'nnunet'", "DATASET/MODEL_METHOD"]),
        (["--results", "results", "--experiment", "../a/b_c"], ["'../a/b_c'"]),
        (["--results", "results", "--experiment", "kvasir/clipseg_vpt"], ["kvasir/clipseg_vpt", "benchmark"]),
        (["--results", "results", "--experiment", NAME, "--group", "tools"], ["'tools'", "image_only"]),
        (["--results", "results", "--experiment", NAME, "--trained-parameters", "-1"], ["-1"]),
        (["--results", "results", "--experiment", NAME, "--split", "val"], ["'val'", "test"]),
    ],
)
def test_bad_options_are_named_before_anything_is_written(options, values, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    refused = run(folder, *options, exit_code=1).stderr
    assert [value for value in values if value not in refused] == [], refused
    assert sorted(folder.rglob("*")) == before


def test_a_benchmark_does_not_take_the_result_of_a_tool_for_its_own(folder):
    run(folder, "--results", folder / "results", "--experiment", "kvasir/cris_coop")
    folders = BenchmarkFolders(folder / "results", folder, folder, folder)
    runner = ExperimentRunner(folders, BenchmarkSettings())
    (spec,) = (result.spec for result in read_results(folder / "results").experiments if result.spec.model == "cris")
    assert runner.finished_seconds(spec) is None
    assert BenchmarkRunner([spec], runner, print)._remaining() == [spec]
