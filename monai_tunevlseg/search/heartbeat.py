"""Heartbeats of running trials, for every storage.

Optuna's own heartbeat works with databases only, not with a journal file or the gRPC proxy, and does not find a worker
that is killed before its first heartbeat. Here the heartbeat is a user attribute of the trial, which every storage has.
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

HEARTBEAT_KEY = "heartbeat"  # user attribute of a trial

logger = logging.getLogger(__name__)


class Heartbeat:
    """Context manager whose thread writes the heartbeats of a trial.

    Args:
        trial: running trial.
        interval: seconds between two heartbeats.

    Attributes:
        lost: event that is set when another worker has failed the trial as stale.
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
            except Exception as error:  # noqa: BLE001 - any driver's error; the storage may be back at the next heartbeat
                logger.warning(f"the heartbeat of trial {self.trial.number} cannot be written: {error}")
        self.trial.storage.remove_session()  # the connection of this thread

    def _beat(self) -> None:
        self._beats += 1
        try:
            self.trial.set_user_attr(HEARTBEAT_KEY, heartbeat_value(self._beats))
        except UpdateFinishedTrialError:
            self.lost.set()


class StaleTrialDetector:
    """Detects running trials whose worker is lost.

    A trial is stale when its heartbeat has not changed for the grace period, measured by the clock of this process, so
    that the clocks of machines may differ; and at once when its process ran on this machine and has ended.

    Args:
        grace_period: seconds without a new heartbeat.
        clock: returns the time in seconds.
    """

    def __init__(self, grace_period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.grace_period = grace_period
        self.clock = clock
        self._seen: dict[int, tuple[Any, float]] = {}

    def is_stale(self, trial: FrozenTrial) -> bool:
        """Return whether a running trial is stale, as far as this process has observed it."""
        heartbeat = trial.user_attrs.get(HEARTBEAT_KEY)
        if _has_ended(heartbeat):
            return True
        last, since = self._seen.get(trial.number, (None, None))
        if since is None or last != heartbeat:
            since = self.clock()
            self._seen[trial.number] = (heartbeat, since)
        return self.clock() - since > self.grace_period


def heartbeat_value(beat: int) -> dict[str, Any]:
    """Return the heartbeat of a trial that this process runs."""
    return {"machine": machine_id(), "process": os.getpid(), "beat": beat}


def machine_id() -> str | None:
    """Return an id of the machine and its process namespace; None on other systems than Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return None
    return f"{socket.gethostname()}/{boot}/{namespace}"


def _has_ended(heartbeat: Any) -> bool:
    """Return whether the process of a heartbeat ran on this machine and has ended."""
    if not isinstance(heartbeat, dict) or heartbeat.get("machine") is None or heartbeat["machine"] != machine_id():
        return False
    state = _process_state(int(heartbeat["process"]))
    return state is None or state in "ZX"  # zombie or dead


def _process_state(process: int) -> str | None:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0]
