"""Storages, and the errors of those that cannot be used."""

from __future__ import annotations

import resource
import signal
import socket
import sqlite3
import threading
import time
from contextlib import closing

import optuna
import pytest
from fakes import wait_until

from monai_tunevlseg.search.storages import file_system_of, open_storage


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]  # bound, but without a listener


@pytest.fixture
def silent_port():
    """Return a port that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_files_are_created_with_their_folder(kind, tmp_path):
    url = f"{kind}:///{tmp_path / 'new' / 'study'}"
    optuna.create_study(storage=open_storage(url), study_name="one")
    assert [study.study_name for study in open_storage(url).get_all_studies()] == ["one"]


@pytest.mark.parametrize(
    ("address", "driver"),
    [
        ("postgresql://me:secret@127.0.0.1:{port}/searches", "psycopg"),
        ("mysql://me:secret@127.0.0.1:{port}/searches", "pymysql"),
        ("grpc://127.0.0.1:{port}", "grpc"),
    ],
)
@pytest.mark.parametrize("server", ["closed_port", "silent_port"])
def test_an_unreachable_server_is_named_within_seconds(address, driver, server, request, monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.search.storages.CONNECT_TIMEOUT", 2)
    pytest.importorskip(driver)
    if (driver, server) == ("pymysql", "silent_port"):
        pytest.skip("its driver needs a minute to notice")
    url = address.format(port=request.getfixturevalue(server))
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:\d+") as raised:
        open_storage(url)
    assert time.monotonic() - started < 20
    assert "secret" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("study.db", "'study.db' .*sqlite:///FILE"),
        ("oracles://delphi/x", "oracles://delphi/x.*sqlite:///FILE"),
        ("mysql://me:secret@127.0.0.1:1/x?password=secret&bogus=secret", "bogus"),
        ("grpc://localhost", "grpc://localhost.* port.*grpc://HOST:PORT"),
        ("grpc://localhost:many", r"grpc://\*\*\*.* port.*grpc://HOST:PORT"),
        ("postgresql://me:secret@db:notaport/x", r"postgresql://.*: its port .*postgresql://"),
    ],
)
def test_an_invalid_url_is_refused(url, message):
    with pytest.raises(ValueError, match=message) as raised:
        open_storage(url)
    assert "secret" not in str(raised.value)


def test_files_that_are_not_storages_are_named(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("not a study, but\nsome notes\n")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        open_storage(f"journal:///{other}")
    with pytest.raises(ConnectionError, match=r"notes\.txt .*file is not a database"):
        open_storage(f"sqlite:///{other}")


def test_a_missing_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(ImportError, match=r"monai_tunevlseg\[postgresql\]"):
        open_storage("postgresql://me@localhost/searches")


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path, monkeypatch, caplog):
    mounts = tmp_path / "mounts"
    shared = tmp_path / "on nfs" / "deeper"
    shared.mkdir(parents=True)
    escaped = str(tmp_path / "on nfs").replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/home {escaped} nfs4 rw 0 0\n")
    assert file_system_of(shared, mounts) == "nfs4"
    assert file_system_of(tmp_path, mounts) == "ext4"
    assert file_system_of(tmp_path, tmp_path / "missing") is None
    monkeypatch.setattr("monai_tunevlseg.search.storages.file_system_of", lambda path: "nfs4")
    open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    assert "study.db is on nfs4" in caplog.text and "journal:///" in caplog.text


def test_a_locked_database_is_waited_for(tmp_path, monkeypatch, caplog):
    path = tmp_path / "study.db"
    monkeypatch.setattr("monai_tunevlseg.search.storages.LOCK_TIMEOUT", 0.05)
    monkeypatch.setattr("monai_tunevlseg.search.storage_errors.PAUSE", 0.05)
    study = optuna.create_study(storage=open_storage(f"sqlite:///{path}"), study_name="one")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    waiting = threading.Thread(target=study.set_user_attr, args=("a", 1))
    waiting.start()
    wait_until(lambda: "sqlite:///" in caplog.text)
    other.execute("ROLLBACK")
    waiting.join()
    other.close()
    assert study.user_attrs == {"a": 1}


def test_a_full_disk_names_the_storage_and_the_study_continues(tmp_path):
    path = tmp_path / "study.db"
    study = optuna.create_study(storage=open_storage(f"sqlite:///{path}"), study_name="one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
        with pytest.raises(ConnectionError, match=r"sqlite:///.*study\.db .*(disk|full)"):
            for number in range(200):
                study.set_user_attr(str(number), "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    study.set_user_attr("more", True)
    assert study.user_attrs["more"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE study_user_attributes SET value_json = '{'",
        "UPDATE trials SET state = 'ASLEEP'",
        "UPDATE trial_params SET distribution_json = '[]'",
        "UPDATE alembic_version SET version_num = 'v9.9.9'",
        "pages",
    ],
)
def test_a_damaged_database_is_named(statement, tmp_path):
    path = tmp_path / "study.db"
    study = optuna.create_study(storage=open_storage(f"sqlite:///{path}"), study_name="one")
    study.set_user_attr("a", 1)
    study.ask().suggest_float("x", 0, 1)
    if statement == "pages":
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\x7f" * (len(content) - 4096))
    else:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)
    with pytest.raises((ConnectionError, ValueError), match=r"sqlite:///.*study\.db "):
        again = optuna.load_study(study_name="one", storage=open_storage(f"sqlite:///{path}"))
        assert (again.user_attrs, again.get_trials()) is None  # not reached


def test_errors_that_optuna_handles_pass_through(tmp_path):
    storage = open_storage(f"journal:///{tmp_path / 'study'}")
    study = optuna.create_study(storage=storage, study_name="one")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(storage=storage, study_name="one")
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        trial.set_user_attr("late", True)
