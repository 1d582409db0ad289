"""Child processes of the server: stopped with it or on request, never left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import psutil
from monailabel.utils.async_tasks.utils import background_executors, processes, tasks

__all__ = ["exit_with_server", "stop_task", "terminate_children_on_exit"]

SERVER_PID = "TUNEVLSEG_LABEL_SERVER"
"""Environment variable with the id of the server's process, for its child processes."""
GRACE = 10  # seconds between SIGTERM and SIGKILL


def exit_with_server() -> None:
    """End this child process of a server when the server's process ends, for any reason.

    Raises:
        SystemExit: when the server's process is gone already.
    """
    server = os.environ.get(SERVER_PID)
    os.environ[SERVER_PID] = str(os.getpid())
    if server in (None, str(os.getpid())):
        return
    if server != str(os.getppid()):
        sys.exit(f"the server {server} that started this process is gone.")
    threading.Thread(target=_exit_after, args=(os.getppid(),), daemon=True).start()


def _exit_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def terminate_children_on_exit() -> None:
    """Let SIGTERM and SIGINT first terminate the child processes, and then this process with its cleanup.

    Does nothing outside the main thread, which handles the signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _termination_handler(signal.getsignal(number)))


def _termination_handler(
    previous: Callable[[int, FrameType | None], object] | int | None,
) -> Callable[[int, FrameType | None], None]:
    def terminate(number: int, frame: FrameType | None) -> None:
        for executor in background_executors.values():
            executor.shutdown(wait=False, cancel_futures=True)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        if not callable(previous):
            sys.exit(128 + number)
        # uvicorn raises the signal again after its shutdown: SIGTERM would skip the cleanup, SIGINT does not
        previous(signal.SIGINT, frame)

    return terminate


def stop_task(method: str) -> dict[str, object] | None:
    """Stop the running task of a kind, such as ``train``, and return it; None if none runs.

    SIGTERM lets the task remove its files; SIGKILL follows if it does not end.
    """
    for name, process in list(processes(method).items()):
        task: dict[str, object] = next(task for task in tasks(method) if task["id"] == name)
        task["status"] = "STOPPED"
        _stop(process)
        return task
    return None


def _stop(process: subprocess.Popen[str]) -> None:
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
