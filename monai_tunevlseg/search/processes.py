"""Processes of their own for bundle runs, which never outlive whoever started them."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["ChildProcess", "failure_reason"]

GRACE = 10.0  # seconds to end after SIGTERM
_PR_SET_PDEATHSIG = 1  # of Linux' prctl
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt|Exit))\b(?::\s*(.*))?$")
_LOG_END = 200_000  # bytes of a log that are searched for the reason


class ChildProcess:
    """A command in a process and a session of its own, so that `Ctrl-C` reaches whoever started it first.

    On Linux the process is killed when the thread that started it ends, however it ends.

    Args:
        command: program and arguments.
        log: gets the output; added to.
        environment: variables to set beside this process's own.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
                env={**os.environ, **(environment or {})},
            )
        self.log = log

    def wait(self, timeout: float) -> int | None:
        """Wait for so many seconds at most; return the exit status, negative for a signal, or None while it runs."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, patience: float | None = None) -> None:
        """End the process and all that it has started: politely, and after a while not.

        Args:
            patience: seconds until then; None = 10.
        """
        for number, seconds in ((signal.SIGTERM, patience or GRACE), (signal.SIGKILL, None)):
            if self.process.poll() is None:
                self._signal(number)
                try:
                    self.process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue
        self._signal(signal.SIGKILL)  # loader processes that it has left behind

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # nobody left


def failure_reason(status: int, log: Path) -> str:
    """Say in one line why a process has failed: the signal, or the error at the root of its last traceback."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _LOG_END))
        lines = stream.read().decode(errors="replace").splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith("Traceback")), 0)
    raised = [line.strip() for line in lines[start:] if _EXCEPTION.match(line.strip())]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return f"exit status {status}: {raised[0] if raised else last}"


def _die_with_parent() -> Callable[[], None] | None:
    """Return what the child calls before it becomes the command; None where the system cannot do it."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return ask
