"""How long a run may take, and how long it may be silent, until it counts as hanging."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Limits", "HangDetector"]


@dataclass(frozen=True)
class Limits:
    """When a run is ended as hanging.

    Attributes:
        timeout: seconds that it may take; None = no limit.
        silence: seconds without a new line in its log or its validation curve; None = no limit.

    Raises:
        ValueError: when one is 0 or less.
    """

    timeout: float | None = None
    silence: float | None = 7200.0

    def __post_init__(self) -> None:
        for name, seconds in (("trial_timeout", self.timeout), ("trial_silence", self.silence)):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} is {seconds}; it must be above 0 seconds.")


class HangDetector:
    """Watches a run from its start on.

    Args:
        limits: of the run.
        files: what it writes while it lives; they may be missing.
        clock: gives the time in seconds.
    """

    def __init__(self, limits: Limits, files: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.files = files
        self.clock = clock
        self._started = self._changed = clock()
        self._seen = self._state()

    def problem(self) -> str | None:
        """Return why the run is to be ended; None while it is not."""
        now, state = self.clock(), self._state()
        if state != self._seen:
            self._seen, self._changed = state, now
        if self.limits.timeout is not None and now - self._started > self.limits.timeout:
            return f"it ran longer than the {self.limits.timeout:g} seconds of trial_timeout"
        if self.limits.silence is not None and now - self._changed > self.limits.silence:
            return f"it wrote nothing for the {self.limits.silence:g} seconds of trial_silence"
        return None

    def _state(self) -> list[tuple[int, int] | None]:
        return [_size_and_time(path) for path in self.files]


def _size_and_time(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
