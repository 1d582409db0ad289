"""Journals of writers that were killed, or had no disk space, in the middle of a line."""

from __future__ import annotations

import optuna
import pytest
from fakes import assert_whole, run_worker, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monai_tunevlseg.search.storages import open_storage


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """Return the journal of a finished search as bytes, and its trials."""
    folder = tmp_path_factory.mktemp("journal")
    study = run_worker(f"journal:///{folder / 'study'}", folder / "trials", 2)
    return (folder / "study").read_bytes(), table(study)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 200))
def test_an_incomplete_last_line_is_cut_off_before_the_next_one(cut, journal, tmp_path_factory):
    content, _ = journal
    path = tmp_path_factory.mktemp("cut") / "study"
    path.write_bytes(content[:-cut])
    storage = open_storage(f"journal:///{path}")
    study = optuna.load_study(study_name="fake", storage=storage)
    study.set_user_attr("added", cut)
    whole_lines = content[: content[:-cut].rfind(b"\n") + 1]
    assert path.read_bytes().startswith(whole_lines)
    assert path.read_bytes()[len(whole_lines) :].count(b"\n") >= 1
    again = optuna.load_study(study_name="fake", storage=open_storage(f"journal:///{path}"))
    assert again.user_attrs["added"] == cut


def test_an_incomplete_line_before_another_entry_is_repaired_in_place(journal, tmp_path, caplog):
    content, rows = journal
    lines = content.splitlines(keepends=True)
    half = lines[4][: len(lines[4]) // 2]
    path = tmp_path / "study"
    path.write_bytes(b"".join([*lines[:4], half + lines[4], *lines[5:]]))
    study = optuna.load_study(study_name="fake", storage=open_storage(f"journal:///{path}"))
    assert table(study) == rows
    assert "line 5" in caplog.text
    assert path.read_bytes() == b"".join([*lines[:4], b" " * len(half) + lines[4], *lines[5:]])


def test_a_real_journal_of_a_full_disk_continues(shared_dir, tmp_path):
    path = tmp_path / "study"
    recorded = (shared_dir / "cases" / "faults" / "journal_half_line").read_bytes()
    path.write_bytes(recorded.replace(b'"pair":', b'"experiment":').replace(b'"alive":', b'"heartbeat":'))
    study = run_worker(f"journal:///{path}", tmp_path / "trials", 2)
    assert_whole(study, 2)


def test_a_damaged_line_of_another_kind_is_named(journal, tmp_path):
    lines = journal[0].splitlines(keepends=True)
    path = tmp_path / "study"
    path.write_bytes(b"".join([*lines[:2], b"}" + lines[2][1:], *lines[3:]]))
    with pytest.raises(ValueError, match=r"study .*line 3 of .*study"):
        open_storage(f"journal:///{path}")


def test_the_journal_of_a_writer_without_disk_space_continues(tmp_path, monkeypatch):
    path = tmp_path / "study"
    study = optuna.create_study(study_name="one", storage=open_storage(f"journal:///{path}"))
    before = path.read_bytes()

    def half_written(descriptor):
        with path.open("r+b") as file:
            file.truncate(len(before) + 10)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("optuna.storages.journal._file.os.fsync", half_written)
        with pytest.raises(ConnectionError, match=r"journal:///.*study .*No space left on device"):
            study.set_user_attr("a", 1)
    assert path.stat().st_size == len(before) + 10
    study.set_user_attr("b", 2)
    again = optuna.load_study(study_name="one", storage=open_storage(f"journal:///{path}"))
    assert again.user_attrs == {"b": 2}
