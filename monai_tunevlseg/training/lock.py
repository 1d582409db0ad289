"""A lock against two trainings in one folder."""

from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
from filelock import FileLock, Timeout
from ignite.engine import Engine, Events

__all__ = ["FolderLock"]


class FolderLock:
    """Keeps other processes from training into the same folder. Attach it to the trainer before all other handlers.

    The lock ends with the run, after what other handlers write at its end, or with the process. Within a process it is
    shared, so that a run that failed in a notebook can be started again. Only the first of several processes that train
    together takes it.

    Args:
        directory: folder of the checkpoints; created if missing.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).expanduser()
        self.lock: FileLock | None = None

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self.acquire)

    def acquire(self, engine: Engine) -> None:
        """Lock the folder until the last handler of ``COMPLETED`` has run.

        Raises:
            RuntimeError: when another process is training into it.
        """
        if idist.get_rank() > 0:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.directory / ".lock", timeout=0, is_singleton=True, thread_local=False)
        try:
            self.lock.acquire()
        except Timeout as error:
            raise RuntimeError(
                f"another run is training into {self.directory}; wait until it ends, or choose another ckpt_dir and "
                "output_dir."
            ) from error
        if not engine.has_event_handler(self.release, Events.COMPLETED):  # only now is it the last of all
            engine.add_event_handler(Events.COMPLETED, self.release)

    def release(self) -> None:
        """Unlock the folder."""
        if self.lock is not None:
            self.lock.release(force=True)
            self.lock = None
