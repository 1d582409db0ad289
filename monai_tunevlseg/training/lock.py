"""One training at a time in a folder."""

from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
from filelock import FileLock, Timeout
from ignite.engine import Engine, Events

__all__ = ["FolderLock"]


class FolderLock:
    """Keeps other processes from training into the same folder. Attach it to the trainer before everything else.

    The lock ends with the run or the process, however that ends. Within a process it is shared, so that a run that
    failed in a notebook can be started again. Of several processes that train together only the first one locks.

    Args:
        directory: of the checkpoints; made.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).expanduser()
        self.lock: FileLock | None = None

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self.acquire)
        engine.add_event_handler(Events.COMPLETED, self.release)

    def acquire(self) -> None:
        """Take the folder.

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
                f"another run is training into {self.directory}; wait for it, or give this one another ckpt_dir and "
                "output_dir."
            ) from error

    def release(self) -> None:
        """Give the folder back."""
        if self.lock is not None:
            self.lock.release(force=True)
            self.lock = None
