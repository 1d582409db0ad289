"""The order of things in a benchmark, with runs that do nothing but write results."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sample_results import write_entry
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.benchmark import Entry
from monai_tunevlseg.benchmark.campaign import Campaign, join_plan, write_plan
from monai_tunevlseg.benchmark.running import BenchmarkSettings, EntryRunner, entry_lock

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS, BUNDLES = REPOSITORY / "configs", REPOSITORY / "bundles"
ENTRIES = [Entry("kvasir", "clipseg", method) for method in ("zero_shot", "vpt", "coop")]


class FakeRunner(EntryRunner):
    """Writes a result in place of every run, and fails where it is told to."""

    def __init__(self, results_dir, settings=None, failing=()):
        super().__init__(results_dir, results_dir / "data", settings or BenchmarkSettings(n_trials=2), CONFIGS, BUNDLES)
        self.failing = failing
        self.calls = []

    def sweep(self, entry):
        self.calls.append(f"sweep {entry.method}")

    def run(self, entry):
        self.calls.append(entry.method)
        if entry.method in self.failing:
            raise RuntimeError("the dataset has no images.")
        stored = self.settings.stored()
        write_entry(self.results_dir, entry.name, [80, 90], facts={"settings": stored})
        (self.results_dir / entry.name / "failure.json").unlink(missing_ok=True)


def campaign(tmp_path, **arguments):
    lines = []
    made = Campaign(ENTRIES, FakeRunner(tmp_path, **arguments), lines.append)
    return made, lines


def test_everything_is_run_once_and_the_time_estimated(tmp_path):
    made, lines = campaign(tmp_path)
    made.run()
    assert made.runner.calls == ["zero_shot", "vpt", "coop"]
    assert "2 of 3 entries are finished, about 5 min 00 s of work left" in lines
    assert lines[-1] == "3 of 3 entries are finished"


def test_what_is_finished_is_skipped(tmp_path):
    campaign(tmp_path)[0].run()
    again, lines = campaign(tmp_path)
    again.run()
    assert again.runner.calls == [] and lines == ["3 entries, 3 of them finished before"]


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({"n_trials": 1}, []),  # fewer than there are
        ({"n_trials": 3}, ["vpt", "coop"]),
        ({"best_only": True}, []),
        ({"fixed": {"epochs": 1}}, ["zero_shot", "vpt", "coop"]),
    ],
)
def test_other_settings_run_again_what_they_change(tmp_path, changes, calls):
    campaign(tmp_path)[0].run()
    again, _ = campaign(tmp_path, settings=replace(BenchmarkSettings(n_trials=2), **changes))
    again.run()
    assert again.runner.calls == calls


def test_damaged_results_are_run_again(tmp_path):
    campaign(tmp_path)[0].run()
    (tmp_path / "kvasir" / "clipseg_vpt" / "result.json").write_text("{")
    again, _ = campaign(tmp_path)
    again.run()
    assert again.runner.calls == ["vpt"]


def test_the_rest_goes_on_after_a_failure(tmp_path):
    made, lines = campaign(tmp_path, failing=["vpt"])
    made.run()
    assert made.runner.calls == ["zero_shot", "vpt", "coop"]
    assert made.failures == {ENTRIES[1]: "the dataset has no images."}
    failure = tmp_path / "kvasir" / "clipseg_vpt" / "failure.json"
    assert json.loads(failure.read_text()) == {"message": "the dataset has no images."}
    again, _ = campaign(tmp_path)
    again.run()
    assert again.runner.calls == ["vpt"] and not failure.exists()


def test_interrupted_and_gone_on_with(tmp_path):
    made, _ = campaign(tmp_path)
    run = made.runner.run

    def interrupted(entry):
        if entry == ENTRIES[1]:
            raise KeyboardInterrupt
        run(entry)

    made.runner.run = interrupted
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert not made.failures and not (tmp_path / "kvasir" / "clipseg_vpt" / "failure.json").exists()
    again, _ = campaign(tmp_path)
    again.run()
    assert again.runner.calls == ["vpt", "coop"]


def test_what_another_worker_runs_is_left_to_the_end_and_joined(tmp_path):
    made, _ = campaign(tmp_path)
    lock = entry_lock(tmp_path, ENTRIES[1])
    lock.acquire()

    def sweep(entry):  # the other worker finishes while this one helps with its trials
        made.runner.calls.append(f"sweep {entry.method}")
        write_entry(tmp_path, entry.name, [80, 90], facts={"settings": made.runner.settings.stored()})
        lock.release()

    made.runner.sweep = sweep
    made.run()
    assert made.runner.calls == ["zero_shot", "coop", "sweep vpt"]


def test_plans_add_up_and_workers_join_them(tmp_path):
    settings = BenchmarkSettings(n_trials=2, fixed={"epochs": 3}, storage="sqlite:///mine.db")
    assert write_plan(tmp_path, ENTRIES[:2], settings, CONFIGS) == ENTRIES[:2]
    assert write_plan(tmp_path, ENTRIES[1:], replace(settings, n_trials=5), CONFIGS) == ENTRIES
    joined, theirs = join_plan(tmp_path, "sqlite:///theirs.db", CONFIGS)
    assert joined == ENTRIES
    assert theirs == replace(settings, n_trials=5, storage="sqlite:///theirs.db")
    with pytest.raises(ValueError, match="has results with seed 0, and not 1; choose another folder"):
        write_plan(tmp_path, ENTRIES, replace(settings, seed=1), CONFIGS)


@pytest.mark.parametrize(
    "content",
    [
        '{"format_version": 1, "entries": [], "settings": {"fixed": {"epochs": "$import os"}}}',
        '{"format_version": 1, "entries": [], "settings": {"n_trials": 0}}',
        '{"format_version": 1, "entries": 3, "settings": {}}',
        "[" * 100_000,
        "{",
        "[]",
        '{"format_version": 1}',
        '{"format_version": 1, "entries": ["x/y"], "settings": {}}',
    ],
)
def test_damaged_plan_is_named(tmp_path, content):
    (tmp_path / "benchmark.json").write_text(content)
    with pytest.raises(ValueError, match=r"benchmark\.json is damaged"):
        join_plan(tmp_path, None, CONFIGS)


def test_plan_of_another_version_is_named(tmp_path):
    write_plan(tmp_path, ENTRIES, BenchmarkSettings(), CONFIGS)
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 2}))
    with pytest.raises(ValueError, match="format version 2, not 1"):
        join_plan(tmp_path, None, CONFIGS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--experiments", "kvasir/clipseg_vtp"], "near to it are kvasir/clipseg_vpt"),
        ([], "say which experiments"),
        (["--preset", "domo"], "no preset 'domo'; known are demo"),
        (["--worker"], "a worker joins a benchmark that was begun there"),
        (["--experiments", "kvasir/*", "--storage", "nowhere"], "the storage 'nowhere' is not an address"),
        (["--experiments", "kvasir/*", "--override", "epochs"], "--override 'epochs'"),
        (["--experiments", "kvasir/*", "--n-trials", "0"], "n_trials is 0; it must be 1 or more"),
        (["--experiments", "kvasir/*", "--n-trials", "-3"], "n_trials is -3"),
        (["--experiments", "kvasir/*", "--n-jobs", "0"], "n_jobs is 0"),
        (["--experiments", "kvasir/*", "--metric", "dice"], "the objective 'dice' is not known"),
        (["--experiments", "kvasir/*", "--override", "epochs=[1"], "'epochs=[1' is not YAML"),
        (["--experiments", "kvasir/*", "--override", "epochs=$1"], "--override, epochs holds '$1'"),
        (["--experiments", "kvasir/*", "--trial-silence", "-1"], "trial_silence is -1"),
        (["--preset", "demo", "--override", "epoch=3"], "no bundle has a hyperparameter 'epoch'"),
        (
            ["--experiments", "kvasir/*", "--override", "epoch=3"],
            "no bundle has a hyperparameter 'epoch'; near to it are epochs",
        ),
    ],
)
def test_bad_input_is_named_before_anything_runs(tmp_path, arguments, message):
    folders = ["--configs-dir", str(CONFIGS), "--bundles-dir", str(REPOSITORY / "bundles")]
    run = CliRunner().invoke(app, ["benchmark", "--results", str(tmp_path), *folders, *arguments])
    assert run.exit_code == 1 and message in run.stderr, run.output
    assert not list(tmp_path.iterdir())  # no data either


def test_outside_of_the_repository_no_data_are_written_before_it_is_said(tmp_path):
    folders = ["--configs-dir", str(tmp_path / "configs"), "--bundles-dir", str(tmp_path / "bundles")]
    run = CliRunner().invoke(app, ["benchmark", "--preset", "demo", "--results", str(tmp_path / "out"), *folders])
    assert run.exit_code == 1 and run.stderr.startswith("error: ") and "configs" in run.stderr, run.output
    assert not list(tmp_path.iterdir())


def test_its_own_workers_get_the_storage_out_of_sight(tmp_path, monkeypatch):
    """What ``ps`` shows of them has no address, and they have the limits of their parent."""
    from monai_tunevlseg.commands import benchmark as command
    from monai_tunevlseg.search import Limits, processes

    started = []

    class Child:
        def __init__(self, arguments, log, environment):
            started.append((arguments, environment))
            self.process = subprocess.Popen(["true"])

        def stop(self, patience):
            self.process.wait()

    monkeypatch.setattr(processes, "ChildProcess", Child)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = BenchmarkSettings(storage="postgresql://me:secret@host/db", limits=Limits(60, None))
    with command._workers(2, (tmp_path, tmp_path, CONFIGS, BUNDLES), settings):
        pass
    assert len(started) == 2
    for arguments, environment in started:
        assert not any("secret" in argument for argument in arguments)
        assert environment == {"TUNEVLSEG_STORAGE": settings.storage}
        assert arguments[arguments.index("--trial-timeout") + 1] == "60"
        assert arguments[arguments.index("--trial-silence") + 1] == "0"


def test_a_dataset_that_is_not_there_fails_its_entries_alone(tmp_path):
    folders = ["--configs-dir", str(CONFIGS), "--bundles-dir", str(REPOSITORY / "bundles")]
    places = ["--results", str(tmp_path / "results"), "--data-root", str(tmp_path / "data")]
    experiments = ["--experiments", "ultrasound/clipseg_vpt"]
    write_entry(tmp_path / "results", "kvasir/clipseg_vpt", [80, 90])
    run = CliRunner().invoke(app, ["benchmark", *experiments, *places, *folders])
    assert run.exit_code == 1, run.output
    assert "failed: ultrasound/clipseg_vpt: " in run.stderr
    text = (tmp_path / "results" / "report" / "report.md").read_text()
    assert "- `ultrasound/clipseg_vpt`: failed: " in text and "| CLIPSeg | VPT | 85.00" in text
