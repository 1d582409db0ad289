"""Addresses of storages, and what is said when one cannot be used."""

from __future__ import annotations

import socket
import time

import optuna
import pytest

from monai_tunevlseg.search.storages import describe_storage, open_storage


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]  # bound, but nobody listens


@pytest.fixture
def silent_port():
    """A port that takes connections and never answers."""
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
        ("postgresql://me:secret@127.0.0.1:{port}/sweeps", "psycopg"),
        ("mysql://me:secret@127.0.0.1:{port}/sweeps", "pymysql"),
        ("grpc://127.0.0.1:{port}", "grpc"),
    ],
)
@pytest.mark.parametrize("server", ["closed_port", "silent_port"])
def test_a_server_that_is_not_there_is_named_within_seconds(address, driver, server, request, monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.search.storages.PATIENCE", 2)
    pytest.importorskip(driver)
    if (driver, server) == ("pymysql", "silent_port"):
        pytest.skip("its driver needs a minute to notice")
    url = address.format(port=request.getfixturevalue(server))
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=r"the storage .*127\.0\.0\.1:\d+.* cannot be") as raised:
        open_storage(url)
    assert time.monotonic() - started < 20
    assert "secret" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("study.db", "'study.db' is no address; write sqlite"),
        ("oracles://delphi/x", "is not understood"),
        ("grpc://localhost", "has no host or no port"),
        ("grpc://localhost:many", "has no valid port"),
    ],
)
def test_an_address_that_is_none_is_refused(url, message):
    with pytest.raises(ValueError, match=message):
        open_storage(url)


def test_files_that_are_no_storage_are_named(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("not a study, but\nsome notes\n")
    with pytest.raises(ValueError, match=r"notes\.txt is no journal"):
        open_storage(f"journal:///{other}")
    with pytest.raises(ConnectionError, match=r"notes\.txt cannot be used \(file is not a database\)"):
        open_storage(f"sqlite:///{other}")


def test_a_missing_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(ImportError, match=r"monai_tunevlseg\[postgresql\]"):
        open_storage("postgresql://me@localhost/sweeps")


def test_passwords_are_not_shown():
    assert describe_storage("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert describe_storage("journal:///x") == "journal:///x"
