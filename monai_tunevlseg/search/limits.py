"""Time limits of a run, and the detection of hanging runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HangDetector", "Limits"]


@dataclass(frozen=True)
class Limits:
    """Time limits of a run.

    Attributes:
        timeout: maximum duration in seconds; None = no limit.
        silence: maximum number of seconds without a new line in the log or the validation log; None = no limit.

    Raises:
        ValueError: when one is 0 or negative.
    """

    timeout: float | None = None
    silence: float | None = 7200.0

    def __post_init__(self) -> None:
        for name, seconds in (("trial_timeout", self.timeout), ("trial_silence", self.silence)):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} is {seconds}; it must be above 0 seconds.")


class HangDetector:
    """Detects that a run, which starts now, exceeds its limits.

    Args:
        limits: time limits of the run.
        files: files that the run writes; they may be missing.
        clock: returns the time in seconds.
    """

    def __init__(self, limits: Limits, files: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.files = files
        self.clock = clock
        self._started = self._changed = clock()
        self._seen = self._state()

    def problem(self) -> str | None:
        """Return the limit that the run exceeds, as a reason; None when it exceeds none."""
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
