"""The processes of a server: their temporary files, their end, and that none outlives the server."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil
from monailabel.utils.async_tasks.utils import background_executors, processes, tasks

__all__ = ["terminate_children_on_exit", "exit_with_server", "create_upload_folder", "stop_task"]

SERVER = "TUNEVLSEG_LABEL_SERVER"
"""Environment variable: the process whose tasks run in the processes that it starts."""
PREFIX = "tunevlseg-label-"
PATIENCE = 10  # seconds for a task to clean up before it is killed


def create_upload_folder() -> Path:
    """Make the folder that uploads of this process go to, so that they can be told from other files.

    MONAI Label puts uploads among the temporary files and then names them to the app as a client would name an image.
    The temporary files of the processes that this one starts go beside them. All of it is removed when this process
    ends.
    """
    current = Path(tempfile.tempdir or "")
    if current.name == "uploads" and current.parent.name.startswith(PREFIX):
        return current  # the server was asked to open its app again
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    uploads, of_tasks = folder / "uploads", folder / "tasks"
    for subfolder in (uploads, of_tasks):
        subfolder.mkdir()
    os.environ["TMPDIR"] = str(of_tasks)
    tempfile.tempdir = str(uploads)
    return uploads


def exit_with_server() -> None:
    """In a process that a server has started for a task: end it when the server is gone, however that ended.

    Raises:
        SystemExit: when the server is gone already.
    """
    server = os.environ.get(SERVER)
    os.environ[SERVER] = str(os.getpid())
    if server in (None, str(os.getpid())):
        return
    if server != str(os.getppid()):
        sys.exit(f"the server {server} that started this process is gone.")
    threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def terminate_children_on_exit() -> None:
    """Have SIGTERM and SIGINT end the processes that this one has started, and then this one with all its clean-up.

    Does nothing outside the main thread, where signals are not handled.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ending(signal.getsignal(number)))


def _ending(
    previous: Callable[[int, FrameType | None], object] | int | None,
) -> Callable[[int, FrameType | None], None]:
    def end(number: int, frame: FrameType | None) -> None:
        for executor in background_executors.values():
            executor.shutdown(wait=False, cancel_futures=True)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        if not callable(previous):
            sys.exit(128 + number)
        # uvicorn raises the signal again when it has shut down: SIGTERM would skip the clean-up, SIGINT does not
        previous(signal.SIGINT, frame)

    return end


def stop_task(method: str) -> dict[str, object] | None:
    """Stop the running task of a kind, such as ``train``, and return it; None where none runs.

    It is asked to end, so that it removes what it has written, and killed when it does not.
    """
    for name, process in list(processes(method).items()):
        task: dict[str, object] = next(task for task in tasks(method) if task["id"] == name)
        task["status"] = "STOPPED"
        _end(process)
        return task
    return None


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
