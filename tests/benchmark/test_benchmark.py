"""A small real benchmark of two experiments: bundle runs in processes, then the report."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.benchmark import build_report, experiment_runner, read_results
from monai_tunevlseg.benchmark.artifacts import evenly_spaced
from monai_tunevlseg.benchmark.embeddings import read_embeddings
from monai_tunevlseg.benchmark.results_folder import read_result
from monai_tunevlseg.evaluation import read_absent_pairs, read_pair_scores

REPOSITORY = Path(__file__).resolve().parents[2]


def write_squares(folder: Path, count: int = 10) -> None:
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        mask = np.zeros((26, 40), np.uint8)
        mask[4 + number : 12 + number, 10:20] = 255
        image = rng.integers(0, 90, (26, 40, 3)).astype(np.uint8) + mask[..., None] // 2
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    stems = [str(number) for number in range(count)]
    splits = {"train": stems[:4], "val": stems[4:6], "test": stems[6:]}
    (folder / "splits.json").write_text(json.dumps(splits))


def arguments_of(root: Path, results: str, base_model: str) -> list[str]:
    fixed = {"pretrained": base_model, "epochs": 1, "batch_size": 4, "num_workers": 0, "device": "cpu"}
    return [
        "benchmark",
        *("--experiments", "ultrasound/clipseg_zero_shot,ultrasound/clipseg_vpt", "--n-trials", "1"),
        *("--data-root", str(root / "data"), "--results", str(root / results)),
        *("--configs-dir", str(REPOSITORY / "configs"), "--bundles-dir", str(REPOSITORY / "bundles")),
        *(part for name, value in fixed.items() for part in ("--override", f"{name}={value}")),
    ]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory, tiny_clipseg_dir):
    """Results of zero-shot and VPT, one trial of one epoch.

    Interrupted during the trial and after VPT's test, then run twice more; ``whole`` was never interrupted.
    """
    root = tmp_path_factory.mktemp("benchmark")
    write_squares(root / "data" / "ultrasound")
    arguments = arguments_of(root, "results", tiny_clipseg_dir)
    runs = [interrupted_in_a_trial(arguments)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment_runner, "write_trials", interrupt)
        runs += [CliRunner().invoke(app, arguments)]
    runs += [CliRunner().invoke(app, arguments) for _ in range(2)]
    runs += [CliRunner().invoke(app, arguments_of(root, "whole", tiny_clipseg_dir))]
    assert [run.exit_code for run in runs] == [130, 130, 0, 0, 0], "\n".join(run.output for run in runs)
    return root / "results", runs


def interrupted_in_a_trial(arguments: list[str]) -> SimpleNamespace:
    """Send SIGINT to the command as soon as it logs a trial; return a result like that of CliRunner."""
    process = subprocess.Popen([sys.executable, "-m", "monai_tunevlseg", *arguments], stderr=subprocess.PIPE, text=True)
    stderr = ""
    for line in process.stderr:
        stderr += line
        if "trial 0 (slot 0)" in line:
            process.send_signal(signal.SIGINT)
    return SimpleNamespace(exit_code=process.wait(), stderr=stderr, output=stderr)


def interrupt(*_):
    raise KeyboardInterrupt


def test_both_experiments_are_stored(benchmark):
    results, _ = benchmark
    stored = read_results(results)
    assert not stored.problems
    tuned, zero_shot = (next(r for r in stored.experiments if r.spec.method == name) for name in ("vpt", "zero_shot"))
    assert zero_shot.facts["trained_parameters"] == 0 and not zero_shot.trials
    assert tuned.facts["trained_parameters"] > 0 and tuned.facts["checkpoint_bytes"] > 0
    seconds = tuned.facts["seconds"]
    assert seconds["total"] > 1.1 * seconds["trial"] > seconds["trial"] > seconds["step"] > 0  # the total has the test
    assert 1e8 < tuned.facts["peak_memory_bytes"] < 1e10
    assert zero_shot.facts["seconds"]["step"] is zero_shot.facts["peak_memory_bytes"] is None
    assert tuned.facts["hyperparameters"]["epochs"] == 1
    assert tuned.facts["titles"] == {"dataset": "Ultrasound", "model": "CLIPSeg", "method": "VPT"}
    (only,) = tuned.trials
    assert only.state == "COMPLETE" and only.test["dice"] == pytest.approx(tuned.score("dice"))
    assert {"learning_rate", "weight_decay", "prompt_depth"} <= set(only.hyperparameters)
    pairs = read_pair_scores(tuned.folder)
    assert len(pairs) == 4 and not any(pair.mask for pair in pairs)


def test_examples_predictions_and_embeddings_are_stored(benchmark):
    results, _ = benchmark
    listed = json.loads((results / "examples" / "ultrasound" / "examples.json").read_text())
    assert [example["name"] for example in listed] == ["00000", "00002", "00003"]
    for example in listed:
        truth = Image.open(results / "examples" / "ultrasound" / f"{example['name']}_truth.png")
        original = Image.open(results.parent / "data" / "ultrasound" / example["image"].replace("images", "masks"))
        assert np.array_equal(np.asarray(truth) > 0, np.asarray(original) > 0)
        for spec in ("clipseg_vpt", "clipseg_zero_shot"):
            prediction = Image.open(results / "ultrasound" / spec / "predictions" / f"{example['name']}.png")
            assert prediction.size == truth.size == (40, 26)
    embedded = read_embeddings(results / "embeddings" / "clipseg" / "ultrasound.npz")
    assert embedded.text.shape == (1, 24) and embedded.image.shape == (4, 24)
    assert len(np.unique(embedded.image.round(4), axis=0)) == 4


def test_the_report_is_written(benchmark):
    results, runs = benchmark
    assert f"report: {results / 'report' / 'report.html'}" in runs[2].stdout
    assert [line["method"] for line in rows(results / "report" / "table3.csv")] == ["zero_shot", "vpt"]


def test_saved_masks_enter_the_report_as_those_of_another_tool(benchmark, tmp_path):
    """With the scores, the examples and the predictions of the experiment that has saved them."""
    results = shutil.copytree(benchmark[0], tmp_path / "results")
    vpt = results / "ultrasound" / "clipseg_vpt"
    (example, *_) = json.loads((results / "examples" / "ultrasound" / "examples.json").read_text())
    place = (vpt / "search" / "test" / "predicted_masks", "folder", benchmark[0].parent / "data" / "ultrasound")
    options = ("--class-name", example["class_name"], "--output-dir", tmp_path / "eval")
    named = ("--results", results, "--experiment", "ultrasound/copied_vpt")
    scored = CliRunner().invoke(app, ["evaluate-predictions", *map(str, (*place, *options, *named))])
    assert scored.exit_code == 0, scored.output
    report = build_report(results, "dice_original")
    assert not report.problems
    (comparison,) = report.comparisons
    assert [method.comparison.difference for method in comparison.methods if method.title == "copied vpt"] == [0]
    pictures = {path.name: path.read_bytes() for path in (vpt / "predictions").iterdir()}
    assert pictures == {path.name: path.read_bytes() for path in (vpt.parent / "copied_vpt" / "predictions").iterdir()}


def test_the_same_command_skips_finished_experiments(benchmark):
    _, runs = benchmark
    assert "2 experiments, 0 of them finished before" in runs[4].stdout
    assert "2 experiments, 2 of them finished before" in runs[3].stdout and "..." not in runs[3].stdout


def test_an_interrupted_experiment_resumes(benchmark):
    results, runs = benchmark
    assert all("interrupted" in run.stderr for run in runs[:2])
    assert "2 experiments, 1 of them finished before" in runs[2].stdout
    assert read_result(results / "ultrasound" / "clipseg_vpt").facts["selection"]["finished"] == 1


def test_interruptions_do_not_change_the_tables(benchmark):
    results, _ = benchmark
    whole = results.parent / "whole"
    for name in ("table3.csv", "cells.csv", "comparisons.csv"):
        assert rows(results / "report" / name) == rows(whole / "report" / name), name
    trials = [rows(folder / "ultrasound" / "clipseg_vpt" / "trials.csv") for folder in (results, whole)]
    assert [{**row, "seconds": ""} for row in trials[0]] == [{**row, "seconds": ""} for row in trials[1]]
    pairs = [(folder / "ultrasound" / "clipseg_vpt" / "pairs.csv").read_bytes() for folder in (results, whole)]
    assert pairs[0] == pairs[1]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(10, 3, [1, 5, 8]), (2, 3, [0, 1]), (1, 1, [0]), (0, 3, []), (5, 5, [0, 1, 2, 3, 4])],
)
def test_evenly_spaced(count, most, expected):
    assert evenly_spaced(count, most) == expected


def test_a_seed_without_search_and_tested_texts_that_change(tmp_path, tiny_clipseg_dir):
    """The weights stay when other texts are tested."""
    write_squares(tmp_path / "data" / "ultrasound")
    arguments = arguments_of(tmp_path, "results", tiny_clipseg_dir)
    arguments[arguments.index("--n-trials") + 1] = "0"
    arguments[arguments.index("--experiments") + 1] = "ultrasound/clipseg_vpt"
    folder = tmp_path / "results" / "ultrasound" / "clipseg_vpt-seed5"
    checkpoints = []
    for texts in ("car\n", "dog\ncat\n"):
        file = tmp_path / f"{len(texts)}.txt"
        file.write_text(texts)
        sets = tmp_path / f"{len(texts)}.json"
        sets.write_text(json.dumps({"lesion": [f"a lesion without a {text}" for text in texts.split()]}))
        options = ["--seeds", "5", "--absent-texts", str(file), "--override", "prompt_depth=2"]
        options += ["--compared-texts", str(sets)]
        run = CliRunner().invoke(app, [*arguments, *options])
        assert run.exit_code == 0, run.output
        (checkpoint,) = (folder / "search" / "trials").glob("*/models/model.pt")
        checkpoints.append((checkpoint.stat().st_mtime_ns, checkpoint))
        problems = []
        result = read_result(folder, problems)
        assert not problems
        assert set(result.metrics["absent"]["by_text"]) == set(texts.split())
        assert set(result.metrics["texts"]["text_set"]["by_text"]) == set(json.loads(sets.read_text())["lesion"])
        pairs = read_absent_pairs(folder / "absent_pairs.csv")
        assert sorted({pair.text for pair in pairs}) == sorted(texts.split()) and {
            p.pixels_original for p in pairs
        } == {1040}
    assert checkpoints[0] == checkpoints[1]
    fitted = json.loads(checkpoint.with_name("calibration.json").read_text())
    assert result.facts["calibration"]["classes"] == fitted["classes"] and fitted["classes"]["lesion"]
    assert result.facts["calibration"]["presence"] == fitted.get("presence")
    assert result.facts["training_seed"] == result.facts["hyperparameters"]["seed"] == 5
    assert len(result.trials) == 1 and "learning_rate" not in result.facts["hyperparameters"]
    record = yaml.safe_load((checkpoint.parents[1] / "config.yaml").read_text())
    assert record["seed"] == 5 and record["learning_rate"] == 0.002  # of the dataset's config


@pytest.mark.parametrize(
    ("option", "content", "named"),
    [("--absent-texts", "lesion\n", "'lesion'"), ("--compared-texts", '{"polyp": ["polyps"]}', "'polyp'")],
)
def test_texts_that_do_not_suit_the_dataset_are_refused_before_the_training(
    option, content, named, tmp_path, tiny_clipseg_dir
):
    write_squares(tmp_path / "data" / "ultrasound")
    (tmp_path / "texts").write_text(content)
    arguments = arguments_of(tmp_path, "results", tiny_clipseg_dir)
    run = CliRunner().invoke(app, [*arguments, option, str(tmp_path / "texts")])
    assert run.exit_code == 1 and named in run.stderr, run.output
    assert not (tmp_path / "results" / "ultrasound" / "clipseg_vpt" / "search").exists()
