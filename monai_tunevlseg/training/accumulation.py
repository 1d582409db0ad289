"""Gradient accumulation in which every image counts alike."""

from __future__ import annotations

from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys

__all__ = ["AccumulationRescaler", "accumulation_steps"]


def accumulation_steps(effective_batch_size: int, batch_size: int, num_processes: int = 1) -> int:
    """Return the number of batches per optimizer step.

    Args:
        effective_batch_size: images per optimizer step, 1 or more.
        batch_size: images at a time in one process, 1 or more.
        num_processes: processes that train together, 1 or more.

    Raises:
        ValueError: when the batches do not add up to ``effective_batch_size``; names the nearest values that do.
    """
    together = batch_size * num_processes
    steps = effective_batch_size // together if together > 0 else 0
    if steps < 1 or steps * together != effective_batch_size:
        processes = f" in each of {num_processes} processes" if num_processes > 1 else ""
        nearest = [str(together * count) for count in (steps, steps + 1) if count]
        raise ValueError(
            f"effective_batch_size is {effective_batch_size}, which batches of batch_size {batch_size}{processes} do "
            f"not add up to; set effective_batch_size to {' or '.join(nearest)}, or choose another batch_size."
        )
    return steps


class AccumulationRescaler:
    """Makes the last optimizer step of an epoch use the mean over its images, however few they are.

    MONAI's ``SupervisedTrainer`` divides the mean loss of each batch by ``accumulation_steps``. The last group of an
    epoch may have fewer batches and its last batch fewer images, so that its gradient would be too small, and an image
    of that batch would count several times as much as another. Attach it to the trainer, whose loader has a
    ``batch_size``.
    """

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.weigh_batches_before)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.average)

    def weigh_batches_before(self, engine: SupervisedTrainer) -> None:
        """Before the epoch's last batch goes backward: give the gradients so far the weight of full batches."""
        if _is_last(engine) and _batches_in_group(engine) > 1:
            _scale(engine, _full(engine) / _images(engine))

    def average(self, engine: SupervisedTrainer) -> None:
        """After the epoch's last batch: turn the sum over the group's images into their mean."""
        if _is_last(engine):
            images, full = _images(engine), _full(engine) * (_batches_in_group(engine) - 1)
            _scale(engine, engine.accumulation_steps * images / (full + images))


def _is_last(engine: SupervisedTrainer) -> bool:
    return engine.state.iteration % engine.state.epoch_length == 0


def _batches_in_group(engine: SupervisedTrainer) -> int:
    return (engine.state.epoch_length - 1) % engine.accumulation_steps + 1


def _images(engine: SupervisedTrainer) -> int:
    return len(engine.state.output[CommonKeys.LABEL])


def _full(engine: SupervisedTrainer) -> int:
    """Return the images of every batch but an epoch's last one."""
    size: int = engine.data_loader.batch_size  # type: ignore[union-attr,assignment]
    return size


def _scale(engine: SupervisedTrainer, factor: float) -> None:
    if factor == 1:
        return
    for parameter in engine.network.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)
