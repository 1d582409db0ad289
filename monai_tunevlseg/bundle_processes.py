"""Bundle runs in child processes: the command, the process, and the reason of a failure."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue

__all__ = ["ChildProcess", "bundle_command", "failure_reason"]

GRACE = 10.0  # seconds between SIGTERM and SIGKILL
_LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):  # the parent ended before the call
    sys.exit(1)
for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Replaces itself with a command that Linux kills when the parent ends. ``preexec_fn`` would run the fork handlers of
gRPC in the child, which then aborts at random."""
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt|Exit))\b(?::\s*(.*))?$")
_LOG_END = 200_000  # bytes of a log that are searched for the reason


def bundle_command(configs: Sequence[Path], overrides: Mapping[str, Any]) -> list[str]:
    """Return the command that runs configs of a bundle.

    Args:
        configs: config files, merged in this order.
        overrides: values that replace those of the configs, by name.
    """
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str([str(path) for path in configs])]
    for name, value in overrides.items():
        command += [f"--{name}", _argument(value)]
    return command


class ChildProcess:
    """A command in a process and a session of its own, so that `Ctrl-C` reaches only the parent.

    On Linux the process is killed when the thread that started it ends.

    Args:
        command: program and arguments.
        log: file to which the output is appended.
        environment: variables in addition to those of this process.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [*_launcher(), *command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        self.log = log

    def wait(self, timeout: float) -> int | None:
        """Wait for at most ``timeout`` seconds; return the exit status, negative for a signal; None while it runs."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, patience: float | None = None) -> None:
        """Terminate the process and its descendants, and kill them when they do not end.

        Args:
            patience: seconds between SIGTERM and SIGKILL; None = 10.
        """
        for number, seconds in ((signal.SIGTERM, patience or GRACE), (signal.SIGKILL, None)):
            if self.process.poll() is None:
                self._signal(number)
                try:
                    self.process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue
        self._signal(signal.SIGKILL)  # remaining loader processes

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # no process is left


def failure_reason(status: int, log: Path) -> str:
    """Return in one line why a process failed: the signal, or the first error of its traceback.

    Args:
        status: exit status other than 0; negative for a signal.
        log: output of the process.
    """
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


def _launcher() -> list[str]:
    """Return the command that starts another one with `_LAUNCHER`; empty on other systems than Linux."""
    if not sys.platform.startswith("linux"):
        return []
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]


def _argument(value: Any) -> str:
    """Return a value as ``fire`` reads it; a text that it would take for something else is quoted."""
    if value is None:
        return "null"
    text = str(value)
    if isinstance(value, str | Path) and (not text or text.startswith("-") or DefaultParseValue(text) != text):
        return repr(text)
    return text
