"""Gradient accumulation whose last, shorter group counts like the others."""

from __future__ import annotations

from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

__all__ = ["AccumulationRemainder"]


class AccumulationRemainder:
    """Makes the last optimizer step of an epoch use the mean of its batches, however few they are.

    MONAI's ``SupervisedTrainer`` divides each loss by ``accumulation_steps``, also in the last group of an epoch, which
    may have fewer batches; its gradient would be too small by that share. Attach it to the trainer.
    """

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Scale the accumulated gradients, when this is the epoch's last batch and its group is incomplete."""
        batch = (engine.state.iteration - 1) % engine.state.epoch_length + 1
        group = batch % engine.accumulation_steps
        if batch == engine.state.epoch_length and group:
            factor = engine.accumulation_steps / group
            for parameter in engine.network.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
