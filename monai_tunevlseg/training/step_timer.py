"""The wall time of optimizer steps."""

from __future__ import annotations

import time
from statistics import median

import torch
from ignite.engine import Events
from monai.engines import Trainer

__all__ = ["StepTimer"]


class StepTimer:
    """Measures how long the optimizer steps of a run take, without loading of images and without validation.

    A step has ``accumulation_steps`` batches, the last one of an epoch perhaps fewer, and ends with the update of the
    parameters. Attach it to the trainer.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._batch_started = self._elapsed = 0.0

    def attach(self, engine: Trainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.stop)

    def start(self) -> None:
        """Start the time of a batch, which is loaded."""
        self._batch_started = time.perf_counter()

    def stop(self, engine: Trainer) -> None:
        """Add the time of a batch to that of its step, which ends with the last batch."""
        ends = _ends_step(engine)
        if ends and torch.cuda.is_initialized():  # kernels run asynchronously
            torch.cuda.synchronize()
        self._elapsed += time.perf_counter() - self._batch_started
        if ends:
            self.seconds.append(self._elapsed)
            self._elapsed = 0.0

    def median(self) -> float | None:
        """Return the median of the steps so far, in seconds; None before the first one."""
        return median(self.seconds) if self.seconds else None


def _ends_step(engine: Trainer) -> bool:
    """Return whether the parameters are updated after this batch."""
    batch = (engine.state.iteration - 1) % engine.state.epoch_length + 1
    steps: int = getattr(engine, "accumulation_steps", 1)  # SupervisedTrainer has them
    return batch % steps == 0 or batch == engine.state.epoch_length
