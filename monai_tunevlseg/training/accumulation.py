"""Gradient accumulation in which every image has the same weight."""

from __future__ import annotations

from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys

__all__ = ["AccumulationRescaler", "accumulation_steps"]


def accumulation_steps(effective_batch_size: int, batch_size: int, num_processes: int = 1) -> int:
    """Return the number of batches per optimizer step.

    Args:
        effective_batch_size: images per optimizer step, 1 or more.
        batch_size: images per batch of one process, 1 or more.
        num_processes: processes that train together, 1 or more.

    Raises:
        ValueError: when ``effective_batch_size`` is not a multiple of the batches; names the nearest multiples.
    """
    together = batch_size * num_processes
    steps = effective_batch_size // together if together > 0 else 0
    if steps < 1 or steps * together != effective_batch_size:
        processes = f" in each of {num_processes} processes" if num_processes > 1 else ""
        nearest = [str(together * count) for count in (steps, steps + 1) if count]
        raise ValueError(
            f"effective_batch_size is {effective_batch_size}, not a multiple of batch_size {batch_size}{processes}; "
            f"set effective_batch_size to {' or '.join(nearest)}, or choose another batch_size."
        )
    return steps


class AccumulationRescaler:
    """Rescales the gradient of an epoch's last optimizer step to the mean over the images of that step.

    MONAI's ``SupervisedTrainer`` divides the mean loss of each batch by ``accumulation_steps``. The last step of an
    epoch may have fewer batches, and its last batch fewer images: its gradient would be too small, and the images of
    that batch would have a larger weight than others. Attach it to a trainer whose loader has a ``batch_size``.
    """

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.weight_earlier_batches)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.average)

    def weight_earlier_batches(self, engine: SupervisedTrainer) -> None:
        """Weight the gradients so far as full batches, before the backward pass of the epoch's last batch."""
        if _is_last(engine) and _batches_in_step(engine) > 1:
            _scale(engine, _full(engine) / _images(engine))

    def average(self, engine: SupervisedTrainer) -> None:
        """Turn the sum over the images of the step into their mean, after the epoch's last batch."""
        if _is_last(engine):
            images, full = _images(engine), _full(engine) * (_batches_in_step(engine) - 1)
            _scale(engine, engine.accumulation_steps * images / (full + images))


def _is_last(engine: SupervisedTrainer) -> bool:
    return engine.state.iteration % engine.state.epoch_length == 0


def _batches_in_step(engine: SupervisedTrainer) -> int:
    """Return the number of batches of an epoch's last optimizer step."""
    return (engine.state.epoch_length - 1) % engine.accumulation_steps + 1


def _images(engine: SupervisedTrainer) -> int:
    return len(engine.state.output[CommonKeys.LABEL])


def _full(engine: SupervisedTrainer) -> int:
    """Return the number of images of a batch that is not the last of its epoch."""
    size: int = engine.data_loader.batch_size  # type: ignore[union-attr,assignment]
    return size


def _scale(engine: SupervisedTrainer, factor: float) -> None:
    if factor == 1:
        return
    for parameter in engine.network.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)
