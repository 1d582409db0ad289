"""Several workers, one of which may be killed, on every kind of storage."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from fakes import FakeCommand, assert_whole, run_worker, start_worker, table, wait_until

from monai_tunevlseg.search.storages import open_storage

TRIALS = 6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def postgresql_program(name):
    """Find a program of PostgreSQL, which Debian keeps outside PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def postgresql():
    """Run a server on a free port in a temporary folder, as another user than root."""
    initdb, postgres = postgresql_program("initdb"), postgresql_program("postgres")
    if not initdb or not postgres:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder, port = tempfile.mkdtemp(prefix="tunevlseg-postgresql-"), free_port()
    if as_user:
        shutil.chown(folder, "postgres")
    data = f"{folder}/data"
    made = [*as_user, initdb, "-D", data, "-A", "trust", "-U", "searcher", "--no-sync", "-E", "UTF8"]
    subprocess.run(made, check=True, capture_output=True, cwd="/")
    options = ["-F", "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1"]
    server = subprocess.Popen([*as_user, postgres, "-D", data, *options], stderr=subprocess.DEVNULL, cwd="/")
    try:
        yield f"postgresql://searcher@127.0.0.1:{port}/postgres", port
    finally:
        process = int(Path(data, "postmaster.pid").read_text().split()[0])  # runuser does not pass signals on
        os.kill(process, signal.SIGQUIT)
        server.wait()
        shutil.rmtree(folder)


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def postgresql_url():
    with postgresql() as (url, port):
        wait_until(lambda: accepts(port))
        yield url


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def url(request, tmp_path):
    if request.param in ("sqlite", "journal"):
        return f"{request.param}:///{tmp_path / request.param}"
    return request.getfixturevalue(f"{request.param}_url")


def study_at(url, name):
    return optuna.load_study(study_name=name, storage=open_storage(url))


def test_two_workers_share_the_trials(url, request, tmp_path):
    name = request.node.name
    workers = [start_worker(url, tmp_path / "trials", TRIALS, FakeCommand(seconds=0.1), name=name) for _ in range(2)]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    study = study_at(url, name)
    assert_whole(study, TRIALS)
    assert len({trial.user_attrs["heartbeat"]["process"] for trial in study.get_trials() if trial.value}) == 2


@pytest.mark.parametrize("told_by", ["process", "heartbeat"])
def test_the_trial_of_a_killed_worker_is_run_again(told_by, url, request, tmp_path, monkeypatch):
    name, folder = request.node.name, tmp_path / "trials"
    if told_by == "heartbeat":  # as if each worker ran on a machine of its own
        monkeypatch.setattr("monai_tunevlseg.search.heartbeat.machine_id", lambda: None)
    options = {"name": name, "grace_period": 2.0}
    killed = start_worker(url, folder, TRIALS, FakeCommand(epochs=1000, seconds=0.1), **options)
    wait_until(lambda: list(folder.glob("*/eval/validation.jsonl")))
    other = start_worker(url, folder, TRIALS, FakeCommand(seconds=0.05), **options)
    killed.kill()
    killed.join()
    other.join()
    assert (killed.exitcode, other.exitcode) == (-signal.SIGKILL, 0)
    study = study_at(url, name)
    assert_whole(study, TRIALS)
    lost = next(trial for trial in study.get_trials() if trial.state.name == "FAIL" and trial.params)
    again = next(t for t in study.get_trials() if t.value and t.user_attrs["slot"] == lost.user_attrs["slot"])
    assert again.params == lost.params and again.number > lost.number


def test_many_workers_finish_exactly_n_trials(url, request, tmp_path):
    """Six workers start at once for three trials."""
    name = request.node.name
    workers = [start_worker(url, tmp_path / "trials", 3, FakeCommand(epochs=1), name=name) for _ in range(6)]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert_whole(study_at(url, name), 3)


def test_a_killed_worker_takes_its_trial_with_it(tmp_path):
    folder = tmp_path / "trials"
    worker = start_worker(f"sqlite:///{tmp_path / 'study'}", folder, 1, FakeCommand(epochs=1000, seconds=0.1))
    curve = wait_until(lambda: next(folder.glob("*/eval/validation.jsonl"), None))
    worker.kill()
    worker.join()

    def stands_still():
        before = curve.read_text()
        time.sleep(0.5)
        return curve.read_text() == before

    wait_until(stands_still, patience=10)


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_an_interrupted_search_ends_like_an_uninterrupted_one(storage, tmp_path):
    trials = 13  # more than the random ones at the start
    whole = run_worker(f"{storage}:///{tmp_path / 'whole'}", tmp_path / "trials", trials)
    url = f"{storage}:///{tmp_path / 'parts'}"
    for end, slow in ((signal.SIGINT, 2), (signal.SIGKILL, 9)):
        folder = tmp_path / f"parts-{slow}"
        worker = start_worker(url, folder, trials, FakeCommand(slow=slow))
        wait_until(lambda folder=folder, slow=slow: len(list(folder.glob("*"))) > slow)
        os.kill(worker.pid, end)
        worker.join()
        assert worker.exitcode
    causes = [trial.user_attrs.get("cause") for trial in study_at(url, "fake").get_trials() if not trial.value]
    assert causes == ["interrupted", None]  # the killed one is found later
    study = run_worker(url, tmp_path / "rest", trials)
    assert_whole(study, trials)
    assert table(study) == table(whole)
    assert len(study.get_trials()) > trials


def test_a_worker_drops_the_result_of_a_trial_failed_as_stale(tmp_path):
    url, folder = f"sqlite:///{tmp_path / 'study'}", tmp_path / "trials"
    sleeper = start_worker(url, folder, 2, FakeCommand(epochs=30, seconds=0.1), heartbeat_interval=30)  # holds no lock
    wait_until(lambda: list(folder.glob("*/eval/validation.jsonl")))
    os.kill(sleeper.pid, signal.SIGSTOP)
    try:
        study = run_worker(url, folder, 2, FakeCommand(), grace_period=1.0)
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    assert_whole(study, 2)
    sleeper.join()
    assert sleeper.exitcode == 0
    assert_whole(study, 2)


def test_threads_cannot_acquire_one_trial_twice(tmp_path):
    from monai_tunevlseg.search.study import join_study
    from monai_tunevlseg.search.trial_queue import TrialQueue

    url, barrier, claimed = f"journal:///{tmp_path / 'study'}", threading.Barrier(8), []

    def acquire():
        study = join_study(open_storage(url), "fake", {"objective": "val_dice"})
        queue = TrialQueue(study, 5, ["x"], 60, 600)
        barrier.wait()
        for _ in range(20):
            if found := queue.acquire():
                claimed.append(found.slot)

    threads = [threading.Thread(target=acquire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [0, 1, 2, 3, 4]


GRPC_SERVER = """
import sys
from optuna.storages import get_storage, run_grpc_proxy_server
run_grpc_proxy_server(get_storage(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]))
"""


def test_workers_join_through_the_grpc_proxy(tmp_path):
    pytest.importorskip("grpc")
    behind, port, folder = f"sqlite:///{tmp_path / 'behind'}", free_port(), tmp_path / "trials"
    server = subprocess.Popen([sys.executable, "-c", GRPC_SERVER, behind, str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port))
        url = f"grpc://127.0.0.1:{port}"
        # gRPC does not survive a fork
        killed = start_worker(url, folder, 4, FakeCommand(epochs=1000, seconds=0.1), method="spawn")
        other = start_worker(url, folder, 4, FakeCommand(seconds=0.5), method="spawn")
        wait_until(lambda: len(list(folder.glob("*/eval/validation.jsonl"))) > 1, patience=180)
        killed.kill()
        other.join()
        assert other.exitcode == 0
        assert_whole(study_at(behind, "fake"), 4)
    finally:
        server.kill()
        server.wait()
