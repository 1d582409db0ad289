"""The validation schedule of a training, and its sampler."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from monai.data import DistributedSampler
from monai.engines import Evaluator
from monai.handlers import ValidationHandler
from torch.utils.data import Dataset

__all__ = ["Validation", "validation_sampler"]


class Validation(ValidationHandler):
    """MONAI's ``ValidationHandler`` that also validates after the last epoch and, with ``start``, before the first.

    Args:
        validator: the validation engine.
        interval: epochs from one validation to the next, 1 or more.
        start: validate before the first epoch as epoch 0, so that the initial weights can be the best.

    Raises:
        ValueError: when ``interval`` is not an integer of 1 or more.
    """

    def __init__(self, validator: Evaluator, interval: int = 1, start: bool = False) -> None:
        if not isinstance(interval, int) or interval < 1:
            raise ValueError(f"val_interval is {interval!r}; it must be an integer of 1 or more epochs.")
        super().__init__(interval, validator, exec_at_start=start)

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=self._is_due), self)
        if self.exec_at_start:
            engine.add_event_handler(Events.STARTED, self)

    def _is_due(self, engine: Engine, epoch: int) -> bool:
        return epoch % self.interval == 0 or epoch == engine.state.max_epochs


def validation_sampler(dataset: Dataset, num_processes: int, rank: int) -> Any:
    """Return the sampler of one process; each sample goes to exactly one process.

    Raises:
        ValueError: when there are fewer samples than processes.
    """
    size = len(dataset)  # type: ignore[arg-type]
    if size < num_processes:
        raise ValueError(
            f"the split 'val' has {size} image-text pairs for {num_processes} processes; "
            f"validate on {num_processes} or more, or train with at most {max(size, 1)} processes."
        )
    return DistributedSampler(dataset, num_replicas=num_processes, rank=rank, shuffle=False, even_divisible=False)
