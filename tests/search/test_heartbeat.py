"""Heartbeats of running trials, and the detection of stale ones."""

from __future__ import annotations

import os

import optuna
import pytest
from fakes import wait_until

from monai_tunevlseg.search.heartbeat import HEARTBEAT_KEY, Heartbeat, StaleTrialDetector, machine_id


@pytest.fixture
def trial():
    return optuna.create_study().ask()


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


def seen(trial, **sign):
    trial.set_user_attr(HEARTBEAT_KEY, {"machine": "another", "process": 1, "beat": 1} | sign)
    return trial.study.trials[0]


def test_a_trial_with_new_heartbeats_is_not_stale(trial):
    clock = Clock()
    detector = StaleTrialDetector(10, clock)
    for beat in range(5):
        clock.time = 8.0 * beat
        assert not detector.is_stale(seen(trial, beat=beat))
    clock.time += 10.1
    assert detector.is_stale(seen(trial, beat=4))


def test_a_trial_of_an_ended_process_on_this_machine_is_stale_at_once(trial):
    detector = StaleTrialDetector(1e9)
    process = os.spawnlp(os.P_NOWAIT, "true", "true")
    wait_until(lambda: detector.is_stale(seen(trial, machine=machine_id(), process=process)))  # a zombie too
    os.waitpid(process, 0)
    assert detector.is_stale(seen(trial, machine=machine_id(), process=process))
    assert not detector.is_stale(seen(trial, machine=machine_id(), process=os.getpid()))
    assert not detector.is_stale(seen(trial, machine=None, process=process))


def test_the_heartbeat_counts_until_the_trial_is_failed(trial):
    with Heartbeat(trial, 0.01) as heartbeat:
        wait_until(lambda: trial.study.trials[0].user_attrs[HEARTBEAT_KEY]["beat"] > 2)
        assert not heartbeat.lost.is_set()
        trial.study.tell(0, state=optuna.trial.TrialState.FAIL)
        wait_until(heartbeat.lost.is_set)


def test_an_unreachable_storage_does_not_end_the_heartbeat(trial, monkeypatch, caplog):
    setting = optuna.Trial.set_user_attr
    with Heartbeat(trial, 0.01):

        def refuse(*arguments):
            raise ConnectionError("the server restarts")

        monkeypatch.setattr(optuna.Trial, "set_user_attr", refuse)
        wait_until(lambda: "the server restarts" in caplog.text)
        monkeypatch.setattr(optuna.Trial, "set_user_attr", setting)
        before = trial.study.trials[0].user_attrs[HEARTBEAT_KEY]["beat"]
        wait_until(lambda: trial.study.trials[0].user_attrs[HEARTBEAT_KEY]["beat"] > before)
