"""The slots of the trial queue, one step at a time."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.search.heartbeat import StaleTrialDetector
from monai_tunevlseg.search.study import make_sampler
from monai_tunevlseg.search.trial_queue import CRASHED, INTERRUPTED, Progress, TrialQueue


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study()


HYPERPARAMETERS = ("a", "b", "c")


def draw_from(acquired, names):
    return [acquired.trial.suggest_float(name, 0, 1) for name in names]


@pytest.mark.parametrize("known", range(len(HYPERPARAMETERS) + 1))
@pytest.mark.parametrize("slot", ["random", "tpe"])
def test_a_trial_lost_between_suggestions_gets_the_same_hyperparameters(known, slot, study):
    """For any number of stored ones: the sampler of the slot restarts its sequence, or all of them are kept."""
    queue = TrialQueue(study, 1, param_names=HYPERPARAMETERS, heartbeat_interval=1, grace_period=10)
    startup = {"random": 10, "tpe": 0}[slot]
    uninterrupted = optuna.create_study(sampler=make_sampler(0, seed=3, startup_trials=startup))
    whole = draw_from(TrialQueue(uninterrupted, 1, HYPERPARAMETERS, 1, 10).acquire(), HYPERPARAMETERS)
    study.sampler = make_sampler(0, seed=3, startup_trials=startup)
    lost = queue.acquire()
    draw_from(lost, HYPERPARAMETERS[:known])
    queue.fail(lost.trial, INTERRUPTED, "interrupted")
    study.sampler = make_sampler(0, seed=3, startup_trials=startup)
    again = queue.acquire()
    assert again.slot == 0 and draw_from(again, HYPERPARAMETERS) == whole


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


def queue_of(study, n_trials, clock=None):
    queue = TrialQueue(study, n_trials, param_names=["x"], heartbeat_interval=1, grace_period=10)
    queue.stale_detector = StaleTrialDetector(10, clock or Clock())
    return queue


@pytest.fixture(autouse=True)
def _on_machines_of_their_own(monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.search.heartbeat.machine_id", lambda: None)


def draw(acquired):
    return acquired.trial.suggest_float("x", 0, 1)


def test_slots_are_handed_out_in_order(study):
    queue = queue_of(study, 3)
    taken = [queue.acquire() for _ in range(3)]
    assert [acquired.slot for acquired in taken] == [0, 1, 2]
    assert queue.acquire() is None
    for acquired in taken:
        study.tell(acquired.trial, draw(acquired))
    assert queue.acquire() is None and queue.progress().done == 3


def test_a_pruned_trial_counts(study):
    queue = queue_of(study, 1)
    study.tell(queue.acquire().trial, state=optuna.trial.TrialState.PRUNED)
    assert queue.progress().done == 1 and queue.acquire() is None


def test_a_crash_costs_its_slot_and_opens_another_one(study):
    queue = queue_of(study, 2)
    crashed = queue.acquire()
    queue.fail(crashed.trial, CRASHED, "out of memory")
    assert study.trials[0].user_attrs["reason"] == "out of memory"
    assert [queue.acquire().slot for _ in range(2)] == [1, 2]
    assert queue.acquire() is None


def test_an_interrupted_trial_is_run_again_with_its_hyperparameters(study):
    queue = queue_of(study, 2)
    first = queue.acquire()
    value = draw(first)
    queue.fail(first.trial, INTERRUPTED, "interrupted")
    again = queue.acquire()
    assert (again.slot, draw(again)) == (0, value)


def test_a_trial_without_a_heartbeat_is_run_again_after_the_grace_period(study):
    clock = Clock()
    queue = queue_of(study, 1, clock)
    first = queue.acquire()
    value = draw(first)
    assert queue.acquire() is None
    clock.time = 9
    assert queue.acquire() is None
    clock.time = 10.5
    again = queue.acquire()
    assert (again.slot, draw(again)) == (0, value)
    queue.fail(first.trial, CRASHED, "too late to matter")
    assert study.trials[0].state.name == "FAIL" and queue.progress().crashed == 0


@pytest.fixture
def outdated(monkeypatch):
    """Let a worker decide by progress from before another worker took, or used up, slot 0."""

    def look(queue):
        seen = Progress(done=0, running=0, crashed=0, open_slots=(0,))
        with monkeypatch.context() as patch:
            patch.setattr("monai_tunevlseg.search.trial_queue.progress_of", lambda trials, n_trials: seen)
            return queue.acquire()

    return look


def test_of_two_trials_for_one_slot_the_later_fails(study, outdated):
    queue = queue_of(study, 3)
    assert queue.acquire().slot == 0
    assert outdated(queue) is None
    assert study.trials[1].user_attrs["cause"] == "surplus"
    assert [queue.acquire().slot for _ in range(2)] == [1, 2]
    assert queue.progress().running == 3


def test_a_used_up_slot_is_not_taken_by_a_worker_that_missed_the_crash(study, outdated):
    queue = queue_of(study, 1)
    queue.fail(queue.acquire().trial, CRASHED, "broken")
    assert outdated(queue) is None
    assert queue.acquire().slot == 1


def test_an_interrupted_slot_is_taken_after_a_surplus_trial(study, outdated):
    queue = queue_of(study, 1)
    first = queue.acquire()
    assert outdated(queue) is None
    queue.fail(first.trial, INTERRUPTED, "interrupted")
    assert queue.acquire().slot == 0


def test_more_trials_later_take_the_next_slots(study):
    study.tell(queue_of(study, 1).acquire().trial, 0.0)
    assert queue_of(study, 1).acquire() is None
    assert queue_of(study, 2).acquire().slot == 1


EVENTS = st.lists(st.tuples(st.sampled_from(["acquire", "finish", "crash", "interrupt", "die"]), st.integers(0, 5)))


@settings(deadline=None, max_examples=50)
@given(EVENTS, st.integers(1, 4))
def test_exactly_n_trials_finish_after_any_events(events, n_trials):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, clock, running = optuna.create_study(), Clock(), []
    queue = queue_of(study, n_trials, clock)

    def end(event, acquired):
        if event == "finish":
            study.tell(acquired.trial, draw(acquired))
        elif event in ("crash", "interrupt"):
            queue.fail(acquired.trial, CRASHED if event == "crash" else INTERRUPTED, event)

    for event, index in events:
        if event == "acquire":
            if acquired := queue.acquire():
                running.append(acquired)
        elif running:
            end(event, running.pop(index % len(running)))
        assert queue.progress().done <= n_trials
    for acquired in running:
        end("finish", acquired)
    for _ in range(100):
        if acquired := queue.acquire():
            end("finish", acquired)
        clock.time += 6  # stale trials are found
    done = [trial.user_attrs["slot"] for trial in study.get_trials() if trial.state.name == "COMPLETE"]
    assert len(done) == len(set(done)) == n_trials == queue.progress().done
    assert not queue.progress().running and not queue.progress().open_slots
