"""`Ctrl-C` and SIGTERM without a locked storage or a partly written trial."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["GracefulShutdown"]

SLICE = 0.2  # seconds between two checks


class GracefulShutdown:
    """Context manager that turns `Ctrl-C` and SIGTERM into ``KeyboardInterrupt`` at safe points only.

    An exception during a write could leave a database or a journal locked for all other workers. A second signal raises
    at once. Outside the main thread, which alone receives signals, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> GracefulShutdown:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_if_requested(self) -> None:
        """Raise when a shutdown is requested.

        Raises:
            KeyboardInterrupt: when a shutdown is requested.
        """
        if self.requested:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Sleep until the time is over or a shutdown is requested.

        Raises:
            KeyboardInterrupt: when a shutdown is requested.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.raise_if_requested()
            time.sleep(min(left, SLICE))
        self.raise_if_requested()

    @contextmanager
    def holding(self, lock: FileLock) -> Iterator[None]:
        """Hold a lock during the block; wait for it until a shutdown is requested.

        Raises:
            KeyboardInterrupt: when a shutdown is requested before the lock is held.
        """
        while True:
            self.raise_if_requested()
            try:
                lock.acquire(timeout=SLICE)
            except Timeout:
                continue
            break
        try:
            yield
        finally:
            lock.release()

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
