"""Processes of trials: why they failed, and that they end."""

from __future__ import annotations

import os
import signal
import sys

import optuna
import pytest
from fakes import wait_until

from monai_tunevlseg.search.liveness import ALIVE, Heartbeat, Watch, machine
from monai_tunevlseg.search.processes import ChildProcess, failure_reason


def run(code, log):
    child = ChildProcess([sys.executable, "-S", "-c", code], log)
    return wait_until(lambda: (status := child.wait(0.1)) is not None and (status,))[0]


CHAINED = """
try:
    raise ValueError("the mask 3.png is grey")
except ValueError as error:
    raise RuntimeError("Failed to evaluate the config") from error
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (CHAINED, "exit status 1: ValueError: the mask 3.png is grey"),
        ("raise SystemExit('no such file')", "exit status 1: no such file"),
        ("import sys; sys.exit(7)", "exit status 7: no output"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (out of memory?)"),
        ("import os; os.abort()", "killed by SIGABRT"),
    ],
)
def test_the_reason_of_a_failure_is_its_root(code, reason, tmp_path):
    log = tmp_path / "trial" / "log.txt"
    assert failure_reason(run(code, log), log) == reason


def test_stopping_ends_all_that_was_started_even_what_does_not_listen(tmp_path, monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.search.processes.GRACE", 0.3)
    code = """if True:
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = os.fork()
        if grandchild:
            print(grandchild, flush=True)
        time.sleep(60)
    """
    log = tmp_path / "log.txt"
    child = ChildProcess([sys.executable, "-S", "-c", code], log)
    grandchild = int(wait_until(lambda: log.read_text().strip()))
    child.stop()
    assert child.process.returncode == -signal.SIGKILL

    def is_gone():
        try:
            return os.waitpid(grandchild, os.WNOHANG)[0] == grandchild
        except ChildProcessError:  # not ours to wait for
            try:
                os.kill(grandchild, 0)
            except ProcessLookupError:
                return True
            with open(f"/proc/{grandchild}/stat") as stat:  # noqa: PTH123
                return stat.read().rpartition(")")[2].split()[0] == "Z"

    wait_until(is_gone, patience=10)


@pytest.fixture
def trial():
    return optuna.create_study().ask()


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


def seen(trial, **sign):
    trial.set_user_attr(ALIVE, {"machine": "another", "process": 1, "beat": 1} | sign)
    return trial.study.trials[0]


def test_a_trial_that_gives_signs_is_alive_however_the_clocks_run(trial):
    clock = Clock()
    watch = Watch(10, clock)
    for beat in range(5):
        clock.time = 8.0 * beat
        assert not watch.is_dead(seen(trial, beat=beat))
    clock.time += 10.1
    assert watch.is_dead(seen(trial, beat=4))


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once(trial):
    watch = Watch(1e9)
    process = os.spawnlp(os.P_NOWAIT, "true", "true")
    wait_until(lambda: watch.is_dead(seen(trial, machine=machine(), process=process)))  # a zombie too
    os.waitpid(process, 0)
    assert watch.is_dead(seen(trial, machine=machine(), process=process))
    assert not watch.is_dead(seen(trial, machine=machine(), process=os.getpid()))
    assert not watch.is_dead(seen(trial, machine=None, process=process))


def test_the_heartbeat_counts_until_the_trial_is_taken_away(trial):
    with Heartbeat(trial, 0.01) as heartbeat:
        wait_until(lambda: trial.study.trials[0].user_attrs[ALIVE]["beat"] > 2)
        assert not heartbeat.lost.is_set()
        trial.study.tell(0, state=optuna.trial.TrialState.FAIL)
        wait_until(heartbeat.lost.is_set)


def test_a_storage_that_is_away_for_a_while_does_not_end_the_heartbeat(trial, monkeypatch, caplog):
    setting = optuna.Trial.set_user_attr
    with Heartbeat(trial, 0.01):

        def refuse(*arguments):
            raise ConnectionError("the server restarts")

        monkeypatch.setattr(optuna.Trial, "set_user_attr", refuse)
        wait_until(lambda: "the server restarts" in caplog.text)
        monkeypatch.setattr(optuna.Trial, "set_user_attr", setting)
        before = trial.study.trials[0].user_attrs[ALIVE]["beat"]
        wait_until(lambda: trial.study.trials[0].user_attrs[ALIVE]["beat"] > before)
