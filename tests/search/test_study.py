"""The loop of one worker, whose trials are small scripts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import optuna
import pytest
from fakes import PLAN, FakeCommand, assert_whole, run_worker, table, wait_until
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json
from optuna.samplers import RandomSampler, TPESampler

from monai_tunevlseg.search.limits import Limits
from monai_tunevlseg.search.results import trial_results
from monai_tunevlseg.search.storages import open_storage
from monai_tunevlseg.search.study import check_plan, check_trials, join_study, make_sampler


@pytest.fixture
def url(tmp_path):
    return f"journal:///{tmp_path / 'study'}"


def test_the_folder_and_the_measurements_of_a_trial_are_recorded(url, tmp_path):
    study = run_worker(url, tmp_path / "trials", 2)
    first, second = trial_results(study, tmp_path)
    assert (first.slot, second.slot, first.state) == (0, 1, "COMPLETE")
    assert first.value == first.val_dice == -first.val_loss
    assert first.epoch == first.epochs == 2 and first.seconds > 0 and first.peak_memory_bytes == 1
    assert first.seconds_per_step == 2 / 8
    folder = tmp_path / "trials" / "0000"
    assert first.folder == str(folder)
    assert json.loads((folder / "models" / "model.pt").read_text()) == first.params
    assert not (folder / "models" / "last.pt").exists()
    assert (folder / "log.txt").is_file()


def test_the_loss_is_minimized_at_the_epoch_whose_network_is_kept(url, tmp_path):
    study = run_worker(url, tmp_path / "trials", 3, plan=PLAN | {"objective": "val_loss"})
    assert study.best_value == min(trial.val_loss for trial in trial_results(study, tmp_path))
    assert study.direction.name == "MINIMIZE"


def test_a_crash_costs_one_trial_and_its_reason_is_recorded(url, tmp_path, caplog):
    study = run_worker(url, tmp_path / "trials", 6, FakeCommand(fail=8), max_failures=6)
    assert_whole(study, 6)
    crashed = [trial for trial in trial_results(study, tmp_path) if trial.state == "FAIL"]
    assert crashed and all(trial.reason == "exit status 1: RuntimeError: out of memory" for trial in crashed)
    assert all(trial.params["prompt_depth"] > 8 for trial in crashed)
    assert "trial" in caplog.text and "out of memory" in caplog.text and "log.txt" in caplog.text


def test_too_many_crashes_in_a_row_end_the_worker_only(url, tmp_path):
    with pytest.raises(RuntimeError, match=r"3 trials .*out of memory.*log\.txt"):
        run_worker(url, tmp_path / "trials", 2, FakeCommand(fail=-1))
    assert_whole(run_worker(url, tmp_path / "trials", 2), 2)


@pytest.mark.parametrize(("lost", "reason"), [("model.pt", "model.pt"), ("validation.jsonl", "validation.jsonl")])
def test_a_trial_without_its_output_files_fails(lost, reason, url, tmp_path):
    def command(folder, params):
        training = FakeCommand()(folder, params)
        return ["sh", "-c", '"$@" && find "$0" -name ' + lost + " -delete", str(folder), *training]

    with pytest.raises(RuntimeError, match=f"{reason}.*log.txt"):
        run_worker(url, tmp_path / "trials", 1, command, max_failures=1)


def test_a_pruned_trial_counts_in_the_study(url, tmp_path):
    def worst(folder, params):
        return FakeCommand(epochs=200, seconds=0.3)(folder, {"learning_rate": 0, "prompt_depth": 0})

    run_worker(url, tmp_path / "trials", 5, FakeCommand(epochs=3), pruner="median")
    study = run_worker(url, tmp_path / "trials", 6, worst, pruner="median")
    states = [trial.state for trial in trial_results(study, tmp_path)]
    assert states == ["COMPLETE"] * 5 + ["PRUNED"]
    assert study.trials[-1].intermediate_values


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(timeout=0.5, silence=None), "0.5 seconds of trial_timeout"),
        (Limits(timeout=None, silence=0.5), "0.5 seconds of trial_silence"),
    ],
)
def test_a_hanging_trial_is_stopped_and_the_study_continues(limits, reason, url, tmp_path, monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.bundle_processes.GRACE", 0.2)
    started = []

    def hang_once(folder, params):
        started.append(folder)
        if len(started) > 1:
            return FakeCommand()(folder, params)
        return ["sh", "-c", "trap '' TERM; sleep 60 & echo $! ; wait; wait"]  # with a child process

    study = run_worker(url, tmp_path / "trials", 2, hang_once, limits=limits, plan=PLAN | {"limits": str(limits)})
    assert_whole(study, 2)
    hung, *_ = trial_results(study, tmp_path)
    assert (hung.slot, hung.state) == (0, "FAIL") and reason in hung.reason
    grandchild = int((started[0] / "log.txt").read_text().split()[0])
    wait_until(
        lambda: not Path(f"/proc/{grandchild}").exists() or " Z " in Path(f"/proc/{grandchild}/stat").read_text()
    )


def test_a_slow_trial_with_progress_is_not_stopped(url, tmp_path):
    limits = Limits(silence=3.0)
    study = run_worker(url, tmp_path / "trials", 1, FakeCommand(epochs=12, seconds=0.4), limits=limits)
    assert_whole(study, 1)


def test_a_trial_without_a_result_leaves_no_checkpoint(url, tmp_path):
    def crash(folder, params):
        training = FakeCommand()(folder, params)
        return ["sh", "-c", '"$@"; echo "RuntimeError: broken" ; exit 1', "sh", *training]

    with pytest.raises(RuntimeError, match="broken"):
        run_worker(url, tmp_path / "trials", 1, crash, max_failures=2)
    run_worker(url, tmp_path / "trials", 1)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.pt"))
    assert left == ["trials/0002/models/model.pt"]
    assert (tmp_path / "trials" / "0000" / "eval" / "validation.jsonl").is_file()


def test_the_folder_of_another_studys_trial_is_unchanged(url, tmp_path):
    theirs = tmp_path / "trials" / "0000" / "theirs.txt"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    with pytest.raises(FileExistsError, match=r"trials/0000 .*--output-dir"):
        run_worker(url, tmp_path / "trials", 1)
    assert list(theirs.parent.iterdir()) == [theirs]
    study = run_worker(url, tmp_path / "others", 1)
    assert_whole(study, 1)  # the slot was open again


def test_without_a_pruner_nothing_is_pruned_or_reported(url, tmp_path):
    study = run_worker(url, tmp_path / "trials", 2)
    assert not any(trial.intermediate_values for trial in study.trials)


def test_a_finished_study_is_unchanged_and_takes_more_trials(url, tmp_path):
    before = table(run_worker(url, tmp_path / "trials", 2))
    again = run_worker(url, tmp_path / "trials", 2, FakeCommand(fail=-1))
    assert table(again) == before
    assert table(run_worker(url, tmp_path / "trials", 3))[:2] == before


def test_the_first_slots_are_random_and_the_others_use_tpe():
    assert isinstance(make_sampler(9, seed=0), RandomSampler)
    tpe = make_sampler(10, seed=0)
    assert isinstance(tpe, TPESampler) and tpe._multivariate


def test_the_seed_changes_the_trials(tmp_path):
    tables = [
        table(run_worker(f"journal:///{tmp_path / name}", tmp_path / f"trials-{name}", 2, plan=PLAN | {"seed": seed}))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert tables[0] == tables[1] != tables[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "'fake' .*version = 1.* 2;"),
        ({"space": {"learning_rate": [0, 1]}}, "space = null.*learning_rate"),
        ({"seed": 3}, "seed = 0.* 3;"),
    ],
)
def test_a_study_with_another_plan_is_refused(change, message, url):
    storage = open_storage(url)
    study = join_study(storage, "fake", PLAN)
    check_plan(study, PLAN)
    with pytest.raises(ValueError, match=message):
        join_study(storage, "fake", PLAN | change)


def test_a_study_of_another_program_is_refused(url):
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="fake").enqueue_trial({"x": 1})
    with pytest.raises(ValueError, match="study 'fake'"):
        join_study(storage, "fake", PLAN)


@pytest.mark.parametrize("plan", [None, [], "text", 3])
def test_a_damaged_plan_is_refused(plan, url):
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="fake").set_user_attr("plan", plan)
    with pytest.raises(ValueError, match="study 'fake'"):
        join_study(storage, "fake", PLAN)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("neutral_text", "$print(1)"),
        ("linear_projection", "['$print(1)']"),
        ("config_file", "evil.yaml"),
        ("linear_projection", True),
    ],
)
@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED", "FAIL"])
def test_trials_of_another_space_are_refused(name, choice, state, url):
    """Others who can write to the storage can add a trial, whose values become options of a bundle run."""
    plan = PLAN | {
        "space": {"rate": FloatDistribution(0, 1), "linear_projection": CategoricalDistribution([True, False])}
    }
    plan["space"] = {key: distribution_to_json(value) for key, value in plan["space"].items()}
    study = join_study(open_storage(url), "fake", plan)
    own = {"rate": FloatDistribution(0, 1), "linear_projection": CategoricalDistribution([True, False])}
    study.add_trial(optuna.create_trial(params={"rate": 0.5, "linear_projection": True}, distributions=own, value=1.0))
    check_trials(study, plan)
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState[state],
            params={name: choice},
            distributions={name: CategoricalDistribution([choice])},
            value=1.0 if state == "COMPLETE" else None,
        )
    )
    with pytest.raises(ValueError, match=f"trial 1 .*'fake' .*{name} = "):
        check_trials(study, plan)


def test_trials_are_logged(url, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "monai_tunevlseg.search"):
        run_worker(url, tmp_path / "trials", 1)
    assert "trial 0 (slot 0): learning_rate" in caplog.text and "finished: val_mean_dice" in caplog.text


@pytest.mark.parametrize("looked_at", ["get_study_user_attrs", "get_all_trials"])
def test_two_workers_that_create_a_study_at_once_both_join_it(url, monkeypatch, looked_at):
    """The other worker sets its plan and adds a trial between two reads of the first."""
    storage, began = open_storage(url), []
    look = getattr(storage, looked_at)

    def look_and_let_the_other_begin(*arguments, **options):
        found = look(*arguments, **options)
        if not began:
            began.append(join_study(open_storage(url), "fake", PLAN))
            began[0].ask()
        return found

    monkeypatch.setattr(storage, looked_at, look_and_let_the_other_begin)
    joined = join_study(storage, "fake", PLAN)
    assert began and len(joined.trials) == 1
