"""Whether the worker of a running trial is alive, told in the same way whatever storage the study is in.

Optuna's own heartbeat works with databases only: a journal file and the gRPC proxy have none, and a worker that is
killed before its first beat is never found. So a trial carries its sign of life as a user attribute, which every
storage has.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from optuna import Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial

__all__ = ["HEARTBEAT_KEY", "Heartbeat", "StaleTrialDetector", "heartbeat_value", "machine_id"]

HEARTBEAT_KEY = "heartbeat"  # the user attribute

logger = logging.getLogger(__name__)


class Heartbeat:
    """Counts up a trial's sign of life in a thread, as long as the block lasts.

    Args:
        trial: the running trial.
        interval: seconds between two beats.

    Attributes:
        lost: set when another worker has given the trial up for dead.
    """

    def __init__(self, trial: Trial, interval: float) -> None:
        self.trial = trial
        self.interval = interval
        self.lost = threading.Event()
        self._over = threading.Event()
        self._beats = 0
        self._thread = threading.Thread(target=self._run, name=f"heartbeat of trial {trial.number}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self.interval) and not self.lost.is_set():
            try:
                self._beat()
            except Exception as error:  # noqa: BLE001 - of whatever driver; the storage may be back at the next beat
                logger.warning(f"no sign of life of trial {self.trial.number} could be written: {error}")
        self.trial.storage.remove_session()  # the connection of this thread

    def _beat(self) -> None:
        self._beats += 1
        try:
            self.trial.set_user_attr(HEARTBEAT_KEY, heartbeat_value(self._beats))
        except UpdateFinishedTrialError:
            self.lost.set()


class StaleTrialDetector:
    """Looks at the signs of life of running trials.

    A trial is dead when its sign has not changed for the grace period by the clock of whoever watches, so that the
    machines' clocks may differ; and at once when its process ran on this machine and is gone.

    Args:
        grace_period: seconds.
        clock: gives the time in seconds.
    """

    def __init__(self, grace_period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.grace_period = grace_period
        self.clock = clock
        self._seen: dict[int, tuple[Any, float]] = {}

    def is_stale(self, trial: FrozenTrial) -> bool:
        """Return whether the worker of a running trial is gone, as far as one can tell by now."""
        sign = trial.user_attrs.get(HEARTBEAT_KEY)
        if _is_gone(sign):
            return True
        last, since = self._seen.get(trial.number, (None, None))
        if since is None or last != sign:
            since = self.clock()
            self._seen[trial.number] = (sign, since)
        return self.clock() - since > self.grace_period


def heartbeat_value(beat: int) -> dict[str, Any]:
    """Return the user attribute of a trial that this process runs."""
    return {"machine": machine_id(), "process": os.getpid(), "beat": beat}


def machine_id() -> str | None:
    """Return what processes that can see each other share; None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return None
    return f"{socket.gethostname()}/{boot}/{namespace}"


def _is_gone(sign: Any) -> bool:
    """Return whether the process of a sign of life ran here and does no longer."""
    if not isinstance(sign, dict) or sign.get("machine") is None or sign["machine"] != machine_id():
        return False
    state = _process_state(int(sign["process"]))
    return state is None or state in "ZX"  # a killed process whose parent has not looked yet


def _process_state(process: int) -> str | None:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0]
