"""`Ctrl-C` that leaves no storage locked and no trial half written."""

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

SLICE = 0.2  # seconds between two looks while it sleeps


class GracefulShutdown:
    """Turns `Ctrl-C` and SIGTERM into ``KeyboardInterrupt`` where nothing is half done, as long as the block lasts.

    An exception in the middle of a write would leave a database or a journal locked for all other workers. A second
    signal is not waited for any longer. Outside the main thread, which alone gets signals, nothing changes.
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
        """Stop here when it was asked for.

        Raises:
            KeyboardInterrupt: then.
        """
        if self.requested:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Sleep, but not through a request.

        Raises:
            KeyboardInterrupt: when there is one.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.raise_if_requested()
            time.sleep(min(left, SLICE))
        self.raise_if_requested()

    @contextmanager
    def holding(self, lock: FileLock) -> Iterator[None]:
        """Hold a lock as long as the block lasts; wait for it, but not through a request.

        Raises:
            KeyboardInterrupt: when there is one before the lock is held.
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
