"""The lock against two trainings in one folder."""

import pytest
from filelock import FileLock
from ignite.engine import Engine, Events

from monai_tunevlseg.training import FolderLock


def run(folder, fails=False):
    def step(engine, batch):
        assert (folder / ".lock").exists()
        with pytest.raises(TimeoutError):
            FileLock(folder / ".lock", timeout=0).acquire()  # as another process would
        if fails:
            raise ZeroDivisionError

    engine = Engine(step)
    FolderLock(folder).attach(engine)
    engine.run([0])


def test_the_folder_is_locked_while_a_run_lasts(tmp_path):
    run(tmp_path / "models")
    with FileLock(tmp_path / "models" / ".lock", timeout=0):
        pass
    run(tmp_path / "models")


def test_the_folder_is_locked_until_the_last_handler_of_the_end_has_run(tmp_path):
    found = []
    engine = Engine(lambda engine, batch: None)
    FolderLock(tmp_path).attach(engine)

    @engine.on(Events.COMPLETED)
    def write_the_last_file():
        with pytest.raises(TimeoutError):
            FileLock(tmp_path / ".lock", timeout=0).acquire()
        found.append("locked")

    for _ in range(2):
        engine.run([0])
        with FileLock(tmp_path / ".lock", timeout=0):
            found.append("free")
    assert found == ["locked", "free"] * 2


def test_a_second_run_is_refused_by_name(tmp_path):
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(RuntimeError, match=rf"{tmp_path}.*ckpt_dir"),
    ):
        run(tmp_path)


def test_a_run_that_failed_can_be_started_again(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, fails=True)
    run(tmp_path)
    with FileLock(tmp_path / ".lock", timeout=0):
        pass
