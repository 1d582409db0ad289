"""Who gets which slot, one step at a time."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.search.claims import CRASHED, INTERRUPTED, Claims, Progress
from monai_tunevlseg.search.liveness import Watch
from monai_tunevlseg.search.study import make_sampler


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study()


HYPERPARAMETERS = ("a", "b", "c")


def draw_from(claim, names):
    return [claim.trial.suggest_float(name, 0, 1) for name in names]


@pytest.mark.parametrize("known", range(len(HYPERPARAMETERS) + 1))
@pytest.mark.parametrize("slot", ["random", "tpe"])
def test_a_trial_that_was_lost_between_two_suggestions_has_the_same_ones_again(known, slot, study):
    """However many were stored: the slot's sampler begins at the start of its sequence, or all of them are kept."""
    claims = Claims(study, 1, names=HYPERPARAMETERS, heartbeat_interval=1, grace_period=10)
    startup = {"random": 10, "tpe": 0}[slot]
    uninterrupted = optuna.create_study(sampler=make_sampler(0, seed=3, startup_trials=startup))
    whole = draw_from(Claims(uninterrupted, 1, HYPERPARAMETERS, 1, 10).claim(), HYPERPARAMETERS)
    study.sampler = make_sampler(0, seed=3, startup_trials=startup)
    lost = claims.claim()
    draw_from(lost, HYPERPARAMETERS[:known])
    claims.give_up(lost.trial, INTERRUPTED, "interrupted")
    study.sampler = make_sampler(0, seed=3, startup_trials=startup)
    again = claims.claim()
    assert again.slot == 0 and draw_from(again, HYPERPARAMETERS) == whole


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


def claims_of(study, wanted, clock=None):
    claims = Claims(study, wanted, names=["x"], heartbeat_interval=1, grace_period=10)
    claims.watch = Watch(10, clock or Clock())
    return claims


@pytest.fixture(autouse=True)
def _on_machines_of_their_own(monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.search.liveness.machine", lambda: None)


def draw(claim):
    return claim.trial.suggest_float("x", 0, 1)


def test_slots_are_handed_out_in_order_and_no_more_than_wanted(study):
    claims = claims_of(study, 3)
    taken = [claims.claim() for _ in range(3)]
    assert [claim.slot for claim in taken] == [0, 1, 2]
    assert claims.claim() is None
    for claim in taken:
        study.tell(claim.trial, draw(claim))
    assert claims.claim() is None and claims.progress().done == 3


def test_a_pruned_trial_counts(study):
    claims = claims_of(study, 1)
    study.tell(claims.claim().trial, state=optuna.trial.TrialState.PRUNED)
    assert claims.progress().done == 1 and claims.claim() is None


def test_a_crash_costs_its_slot_and_opens_another_one(study):
    claims = claims_of(study, 2)
    crashed = claims.claim()
    claims.give_up(crashed.trial, CRASHED, "out of memory")
    assert study.trials[0].user_attrs["reason"] == "out of memory"
    assert [claims.claim().slot for _ in range(2)] == [1, 2]
    assert claims.claim() is None


def test_an_interrupted_trial_is_run_again_with_its_hyperparameters(study):
    claims = claims_of(study, 2)
    first = claims.claim()
    value = draw(first)
    claims.give_up(first.trial, INTERRUPTED, "interrupted")
    again = claims.claim()
    assert (again.slot, draw(again)) == (0, value)


def test_a_trial_without_a_sign_of_life_is_run_again_after_the_grace_period(study):
    clock = Clock()
    claims = claims_of(study, 1, clock)
    first = claims.claim()
    value = draw(first)
    assert claims.claim() is None
    clock.time = 9
    assert claims.claim() is None
    clock.time = 10.5
    again = claims.claim()
    assert (again.slot, draw(again)) == (0, value)
    claims.give_up(first.trial, CRASHED, "too late to matter")
    assert study.trials[0].state.name == "FAIL" and claims.progress().crashed == 0


@pytest.fixture
def outdated(monkeypatch):
    """Let a worker decide by what it saw before another one took, or spent, slot 0."""

    def look(claims):
        seen = Progress(done=0, running=0, crashed=0, open_slots=(0,))
        with monkeypatch.context() as patch:
            patch.setattr("monai_tunevlseg.search.claims.progress_of", lambda trials, wanted: seen)
            return claims.claim()

    return look


def test_of_two_trials_for_one_slot_the_later_gives_way(study, outdated):
    claims = claims_of(study, 3)
    assert claims.claim().slot == 0
    assert outdated(claims) is None
    assert study.trials[1].user_attrs["cause"] == "surplus"
    assert [claims.claim().slot for _ in range(2)] == [1, 2]
    assert claims.progress().running == 3


def test_a_spent_slot_is_not_taken_by_one_who_did_not_see_the_crash(study, outdated):
    claims = claims_of(study, 1)
    claims.give_up(claims.claim().trial, CRASHED, "broken")
    assert outdated(claims) is None
    assert claims.claim().slot == 1


def test_an_interrupted_slot_is_taken_however_many_gave_way_before(study, outdated):
    claims = claims_of(study, 1)
    first = claims.claim()
    assert outdated(claims) is None
    claims.give_up(first.trial, INTERRUPTED, "interrupted")
    assert claims.claim().slot == 0


def test_more_trials_later_go_on_where_the_sweep_ended(study):
    study.tell(claims_of(study, 1).claim().trial, 0.0)
    assert claims_of(study, 1).claim() is None
    assert claims_of(study, 2).claim().slot == 1


EVENTS = st.lists(st.tuples(st.sampled_from(["claim", "finish", "crash", "interrupt", "die"]), st.integers(0, 5)))


@settings(deadline=None, max_examples=50)
@given(EVENTS, st.integers(1, 4))
def test_whatever_happens_exactly_so_many_finish(events, wanted):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, clock, running = optuna.create_study(), Clock(), []
    claims = claims_of(study, wanted, clock)

    def end(event, claim):
        if event == "finish":
            study.tell(claim.trial, draw(claim))
        elif event in ("crash", "interrupt"):
            claims.give_up(claim.trial, CRASHED if event == "crash" else INTERRUPTED, event)

    for event, index in events:
        if event == "claim":
            if claim := claims.claim():
                running.append(claim)
        elif running:
            end(event, running.pop(index % len(running)))
        assert claims.progress().done <= wanted
    for claim in running:
        end("finish", claim)
    for _ in range(100):
        if claim := claims.claim():
            end("finish", claim)
        clock.time += 6  # what died is found
    done = [trial.user_attrs["slot"] for trial in study.get_trials() if trial.state.name == "COMPLETE"]
    assert len(done) == len(set(done)) == wanted == claims.progress().done
    assert not claims.progress().running and not claims.progress().open_slots
