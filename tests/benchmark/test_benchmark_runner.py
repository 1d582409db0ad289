"""Order, resuming and failures of a benchmark, with experiments that only write results."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from sample_results import write_experiment
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.benchmark import ExperimentSpec, Group, experiment_runner
from monai_tunevlseg.benchmark.benchmark_runner import BenchmarkRunner, experiment_lock
from monai_tunevlseg.benchmark.experiment_runner import ExperimentRunner
from monai_tunevlseg.benchmark.plan_file import join_plan, write_plan
from monai_tunevlseg.benchmark.settings import BenchmarkFolders, BenchmarkSettings
from monai_tunevlseg.search.experiments import build_network, find_experiment

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS, BUNDLES = REPOSITORY / "configs", REPOSITORY / "bundles"
SPECS = [
    ExperimentSpec("kvasir", "clipseg", "zero_shot", group=Group.ZERO_SHOT),
    *(ExperimentSpec("kvasir", "clipseg", method) for method in ("vpt", "coop")),
]


def folders_in(results_dir):
    return BenchmarkFolders(results_dir, results_dir / "data", CONFIGS, BUNDLES)


class FakeRunner(ExperimentRunner):
    """Writes a result instead of a run, or fails."""

    def __init__(self, results_dir, settings=None, failing=()):
        super().__init__(folders_in(results_dir), settings or BenchmarkSettings(n_trials=2))
        self.failing = failing
        self.calls = []

    def run_trials(self, spec):
        self.calls.append(f"trials of {spec.method}")

    def run(self, spec):
        self.calls.append(spec.method)
        if spec.method in self.failing:
            raise RuntimeError("the dataset has no images.")
        stored = self.settings.stored()
        write_experiment(self.folders.results, spec.name, [80, 90], facts={"settings": stored})
        (self.folders.results / spec.name / "failure.json").unlink(missing_ok=True)


def benchmark_runner(tmp_path, **arguments):
    lines = []
    made = BenchmarkRunner(SPECS, FakeRunner(tmp_path, **arguments), lines.append)
    return made, lines


def test_every_experiment_runs_once(tmp_path):
    made, lines = benchmark_runner(tmp_path)
    made.run()
    assert made.runner.calls == ["zero_shot", "vpt", "coop"]
    assert "2 of 3 experiments are finished, about 5 min 00 s of work left" in lines
    assert lines[-1] == "3 of 3 experiments are finished"


def test_finished_experiments_are_skipped(tmp_path):
    benchmark_runner(tmp_path)[0].run()
    again, lines = benchmark_runner(tmp_path)
    again.run()
    assert again.runner.calls == [] and lines == ["3 experiments, 3 of them finished before"]


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({"n_trials": 1}, []),  # fewer than before
        ({"n_trials": 3}, ["vpt", "coop"]),
        ({"best_only": True}, []),
        ({"fixed": {"epochs": 1}}, ["zero_shot", "vpt", "coop"]),
        ({"absent_texts": "pool"}, ["zero_shot", "vpt", "coop"]),
        ({"compared_texts": "class_name"}, ["zero_shot", "vpt", "coop"]),
    ],
)
def test_other_settings_rerun_the_experiments_that_they_change(tmp_path, changes, calls):
    benchmark_runner(tmp_path)[0].run()
    again, _ = benchmark_runner(tmp_path, settings=replace(BenchmarkSettings(n_trials=2), **changes))
    again.run()
    assert again.runner.calls == calls


@pytest.mark.parametrize("option", ["absent_texts", "compared_texts"])
def test_results_with_texts_are_finished_without_them(option, tmp_path):
    for texts, calls in (("FILE", 3), (None, 0), ("FILE", 0), ("OTHER", 3)):
        settings = BenchmarkSettings(n_trials=2, **{option: texts})
        made, _ = benchmark_runner(tmp_path, settings=settings)
        made.run()
        assert len(made.runner.calls) == calls


def test_a_finished_result_is_read_once_per_check(tmp_path):
    """The number of reads of a large matrix grows linearly, and not with the square of its experiments."""
    made, _ = benchmark_runner(tmp_path)
    reads = []
    finished_seconds = made.runner.finished_seconds

    def counted(spec):
        seconds = finished_seconds(spec)
        reads.extend([spec] if seconds is not None else [])
        return seconds

    made.runner.finished_seconds = counted
    made.run()
    assert sorted(reads) == sorted(SPECS)


@pytest.mark.parametrize("num_shots", [None, 4])
@pytest.mark.parametrize(("n_trials", "searches"), [(5, [(None, 5), (3, 1)]), (0, [(3, 1)])])
def test_a_seed_trains_with_the_hyperparameters_of_the_search(n_trials, searches, num_shots, tmp_path, monkeypatch):
    started = []

    def search(experiment, dataset_dir, folder, settings, *folders):
        started.append((folder, settings))
        return SimpleNamespace(best=SimpleNamespace(params={"learning_rate": 0.25}))

    monkeypatch.setattr(experiment_runner, "run_search", search)
    tested = {"absent_texts": "pool", "compared_texts": "class_name"}
    settings = BenchmarkSettings(n_trials=n_trials, fixed={"epochs": 2}, **tested)
    ExperimentRunner(folders_in(tmp_path), settings).run_trials(replace(SPECS[1], num_shots=num_shots, seed=3))
    assert [(settings.fixed.get("seed"), settings.n_trials) for _, settings in started] == searches
    folder, last = started[-1]
    assert folder == tmp_path / "kvasir" / f"clipseg_vpt{'-shots4' if num_shots else ''}-seed3" / "search"
    assert not last.search and last.evaluation == tested
    drawn = {"num_shots": 4, "subset_seed": 3} if num_shots else {}
    assert last.fixed == {"epochs": 2, "seed": 3} | drawn | ({"learning_rate": 0.25} if n_trials else {})
    if n_trials:
        assert "num_shots" not in started[0][1].fixed
        assert started[0][0] == tmp_path / "kvasir" / "clipseg_vpt" / "search" and started[0][1].search


def test_damaged_results_rerun(tmp_path):
    benchmark_runner(tmp_path)[0].run()
    (tmp_path / "kvasir" / "clipseg_vpt" / "result.json").write_text("{")
    again, _ = benchmark_runner(tmp_path)
    again.run()
    assert again.runner.calls == ["vpt"]


def test_a_failure_does_not_end_the_others(tmp_path):
    made, lines = benchmark_runner(tmp_path, failing=["vpt"])
    made.run()
    assert made.runner.calls == ["zero_shot", "vpt", "coop"]
    assert made.failures == {SPECS[1]: "the dataset has no images."}
    failure = tmp_path / "kvasir" / "clipseg_vpt" / "failure.json"
    assert json.loads(failure.read_text()) == {"message": "the dataset has no images."}
    again, _ = benchmark_runner(tmp_path)
    again.run()
    assert again.runner.calls == ["vpt"] and not failure.exists()


def test_interruption_and_resuming(tmp_path):
    made, _ = benchmark_runner(tmp_path)
    run = made.runner.run

    def interrupted(spec):
        if spec == SPECS[1]:
            raise KeyboardInterrupt
        run(spec)

    made.runner.run = interrupted
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert not made.failures and not (tmp_path / "kvasir" / "clipseg_vpt" / "failure.json").exists()
    again, _ = benchmark_runner(tmp_path)
    again.run()
    assert again.runner.calls == ["vpt", "coop"]


def test_experiments_of_other_workers_are_joined_at_the_end(tmp_path):
    made, _ = benchmark_runner(tmp_path)
    lock = experiment_lock(tmp_path, SPECS[1])
    lock.acquire()

    def run_trials(spec):  # the other worker finishes while this one helps with its trials
        made.runner.calls.append(f"trials of {spec.method}")
        write_experiment(tmp_path, spec.name, [80, 90], facts={"settings": made.runner.settings.stored()})
        lock.release()

    made.runner.run_trials = run_trials
    made.run()
    assert made.runner.calls == ["zero_shot", "coop", "trials of vpt"]


def test_the_decoder_trains_in_its_variant(tmp_path, tiny_clipseg_dir):
    settings = BenchmarkSettings(fixed={"pretrained": tiny_clipseg_dir, "prompt_depth": 2, "image_size": 32})
    runner = ExperimentRunner(folders_in(tmp_path), settings)

    def trained(method, variant=None):
        spec = ExperimentSpec("ultrasound", "clipseg", method, variant)
        network = build_network(find_experiment(spec.experiment, CONFIGS, BUNDLES), runner._overrides(spec))
        return {name for name, parameter in network.named_parameters() if parameter.requires_grad}

    assert trained("vpt", "decoder") == trained("vpt") | trained("decoder")
    assert trained("vpt").isdisjoint(trained("decoder"))


def test_variants_override_the_fixed_hyperparameters(tmp_path):
    runner = ExperimentRunner(folders_in(tmp_path), BenchmarkSettings(fixed={"presence_weight": 7, "epochs": 2}))
    recipe = yaml.safe_load((CONFIGS / "recipes" / "robust.yaml").read_text())
    overrides = {name: runner._overrides(replace(SPECS[1], variant=name)) for name in ("robust", "negative_texts")}
    assert overrides["robust"].items() >= {**recipe, "epochs": 2}.items() and recipe["presence_weight"] != 7
    assert (overrides["negative_texts"]["negative_texts"], overrides["negative_texts"]["presence_weight"]) == (3, 7)


def test_plans_are_merged_and_joined(tmp_path):
    settings = BenchmarkSettings(
        n_trials=2, fixed={"epochs": 3}, compared_texts="published", storage="sqlite:///mine.db"
    )
    decoder = replace(SPECS[1], variant="decoder")
    assert write_plan(folders_in(tmp_path), SPECS[:2], settings) == SPECS[:2]
    runs = [replace(decoder, num_shots=shots, seed=seed) for shots, seed in ((None, 12), (16, None), (4, 0))]
    planned = [*SPECS, decoder, *runs]
    assert write_plan(folders_in(tmp_path), [*SPECS[1:], decoder, *runs], replace(settings, n_trials=5)) == planned
    joined, theirs = join_plan(folders_in(tmp_path), "sqlite:///theirs.db")
    assert joined == planned
    assert [spec.group for spec in joined] == [spec.group for spec in planned]
    assert theirs == replace(settings, n_trials=5, storage="sqlite:///theirs.db")
    with pytest.raises(ValueError, match=r"\bseed 0\b.* 1\b"):
        write_plan(folders_in(tmp_path), SPECS, replace(settings, seed=1))
    with pytest.raises(ValueError, match=r"\bn_trials 5\b.* 0\b"):
        write_plan(folders_in(tmp_path), SPECS, replace(settings, n_trials=0))
    with pytest.raises(ValueError, match=r"--compared-texts.*\$1"):
        write_plan(folders_in(tmp_path), SPECS, replace(settings, compared_texts="$1"))


@pytest.mark.parametrize(
    "content",
    [
        '{"format_version": 1, "experiments": [], "settings": {"fixed": {"epochs": "$import os"}}}',
        '{"format_version": 1, "experiments": [], "settings": {"n_trials": -1}}',
        '{"format_version": 1, "experiments": 3, "settings": {}}',
        "[" * 100_000,
        "{",
        "[]",
        '{"format_version": 1}',
        '{"format_version": 1, "experiments": ["x/y"], "settings": {}}',
        '{"format_version": 1, "experiments": ["kvasir/clipseg_vpt-seedx"], "settings": {}}',
        '{"format_version": 1, "experiments": ["kvasir/clipseg_vpt-seed1-shots4"], "settings": {}}',
    ],
)
def test_damaged_plan_is_named(tmp_path, content):
    (tmp_path / "benchmark.json").write_text(content)
    with pytest.raises(ValueError, match=r"benchmark\.json"):
        join_plan(folders_in(tmp_path), None)


def test_plan_of_another_version_is_named(tmp_path):
    write_plan(folders_in(tmp_path), SPECS, BenchmarkSettings())
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 2}))
    with pytest.raises(ValueError, match=r"benchmark\.json.* 2\b.* 1\b"):
        join_plan(folders_in(tmp_path), None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--experiments", "kvasir/clipseg_vtp"], r"kvasir/clipseg_vtp.* kvasir/clipseg_vpt"),
        ([], "--experiments"),
        (["--preset", "domo"], "'domo'.* demo"),
        (["--worker"], r"benchmark\.json"),
        (["--experiments", "kvasir/*", "--storage", "nowhere"], "'nowhere'"),
        (["--experiments", "kvasir/*", "--override", "epochs"], "--override 'epochs'"),
        (["--experiments", "kvasir/*", "--n-trials", "-3"], "n_trials.* -3"),
        (["--experiments", "kvasir/*", "--n-jobs", "0"], "n_jobs.* 0"),
        (["--experiments", "kvasir/*", "--seeds", "1,2,1"], "'1,2,1'"),
        (["--experiments", "kvasir/*", "--seeds", "1,x"], "seed is 'x'"),
        (["--experiments", "kvasir/*", "--seeds", "-1"], "seed is '-1'"),
        (["--experiments", "kvasir/*", "--seeds", "1,2", "--override", "seed=3"], "--override.* seed"),
        (["--experiments", "kvasir/*", "--shots", "4,x"], "'4,x'.* 'x'.* 'all'"),
        (["--experiments", "kvasir/*", "--shots", "0,4"], "'0,4'.* '0'.* 1 "),
        (["--experiments", "kvasir/*", "--shots", "-1"], "'-1'"),
        (["--experiments", "kvasir/*", "--shots", "4,all,04"], "'4,all,04'.* twice"),
        (["--experiments", "kvasir/*", "--shots", "4", "--override", "num_shots=3"], "--override.* num_shots"),
        (
            ["--experiments", "kvasir/*", "--shots", "4", "--override", "train_fraction=1"],
            "--override.* train_fraction",
        ),
        (
            ["--experiments", "kvasir/*", "--shots", "4", "--seeds", "0", "--override", "subset_seed=3"],
            "--override.* subset_seed",
        ),
        (["--experiments", "kvasir/*", "--absent-texts", "poool"], "'poool'.* 'classes'.* 'pool'"),
        (["--experiments", "kvasir/*", "--compared-texts", "class"], "'class'.* 'class_name'.* 'published'"),
        (["--experiments", "kvasir/*", "--metric", "dice"], "'dice'"),
        (["--experiments", "kvasir/*", "--override", "epochs=[1"], r"epochs=\[1"),
        (["--experiments", "kvasir/*", "--override", "epochs=$1"], r"--override.* epochs.*\$1"),
        (["--experiments", "kvasir/*", "--trial-silence", "-1"], "trial_silence.* -1"),
        (["--preset", "demo", "--override", "epoch=3"], "'epoch'.* epochs"),
        (["--experiments", "ultrasound/*,endoscopy/unet_*", "--transfer"], "endoscopy, ultrasound.* --transfer"),
        (["--experiments", "kvasir/*", "--shots", "4", "--override", "epochs=$1"], r"--override.* epochs.*\$1"),
        (
            ["--experiments", "kvasir/*", "--override", "epoch=3"],
            "'epoch'.* epochs",
        ),
    ],
)
def test_invalid_options_are_named_before_anything_runs(tmp_path, arguments, message):
    folders = ["--configs-dir", str(CONFIGS), "--bundles-dir", str(REPOSITORY / "bundles")]
    run = CliRunner().invoke(app, ["benchmark", "--results", str(tmp_path), *folders, *arguments])
    assert run.exit_code == 1 and re.search(message, run.stderr), run.output
    assert not list(tmp_path.iterdir())  # not even data


def test_missing_configs_are_named_before_data_are_written(tmp_path):
    folders = ["--configs-dir", str(tmp_path / "configs"), "--bundles-dir", str(tmp_path / "bundles")]
    run = CliRunner().invoke(app, ["benchmark", "--preset", "demo", "--results", str(tmp_path / "out"), *folders])
    assert run.exit_code == 1 and run.stderr.startswith("error: ") and "configs" in run.stderr, run.output
    assert not list(tmp_path.iterdir())


def test_workers_get_the_storage_from_the_environment(tmp_path, monkeypatch):
    """The command line of a worker, which ``ps`` shows, has no address; it has the limits of its parent."""
    from monai_tunevlseg import bundle_processes
    from monai_tunevlseg.commands import benchmark as command
    from monai_tunevlseg.search import Limits

    started = []

    class Child:
        def __init__(self, arguments, log, environment):
            started.append((arguments, environment))
            self.process = subprocess.Popen(["true"])

        def stop(self, patience):
            self.process.wait()

    monkeypatch.setattr(bundle_processes, "ChildProcess", Child)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = BenchmarkSettings(storage="postgresql://me:secret@host/db", limits=Limits(60, None))
    with command._workers(2, folders_in(tmp_path), settings):
        pass
    assert len(started) == 2
    for arguments, environment in started:
        assert not any("secret" in argument for argument in arguments)
        assert environment == {"TUNEVLSEG_STORAGE": settings.storage}
        assert arguments[arguments.index("--trial-timeout") + 1] == "60"
        assert arguments[arguments.index("--trial-silence") + 1] == "0"


def test_a_missing_dataset_fails_its_experiments_only(tmp_path):
    folders = ["--configs-dir", str(CONFIGS), "--bundles-dir", str(REPOSITORY / "bundles")]
    places = ["--results", str(tmp_path / "results"), "--data-root", str(tmp_path / "data")]
    experiments = ["--experiments", "ultrasound/clipseg_vpt"]
    write_experiment(tmp_path / "results", "kvasir/clipseg_vpt", [80, 90])
    run = CliRunner().invoke(app, ["benchmark", *experiments, *places, *folders])
    assert run.exit_code == 1, run.output
    assert "failed: ultrasound/clipseg_vpt: " in run.stderr
    text = (tmp_path / "results" / "report" / "report.md").read_text()
    assert "- `ultrasound/clipseg_vpt`: failed: " in text and "| CLIPSeg | VPT | 85.00" in text
