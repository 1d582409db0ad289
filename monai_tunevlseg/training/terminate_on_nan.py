"""Ends a run with a loss or parameters that are not finite, before they are saved."""

from __future__ import annotations

import logging

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from monai_tunevlseg.training.checkpoints import CheckpointHandler

__all__ = ["TerminateOnNaN"]


logger = logging.getLogger(__name__)


class TerminateOnNaN:
    """Raises an error for a NaN or infinite loss, or for such a parameter at the end of an epoch.

    Unlike ignite's ``TerminateOnNan``, which ends a run without an error, it names the step and the last good
    checkpoint. With a gradient scaler, which skips steps that overflow in half precision, the run continues unless all
    steps of an epoch overflow. Attach it to the trainer, before validation and checkpoints.

    Args:
        checkpoints: the handler that knows the last good checkpoint.
    """

    def __init__(self, checkpoints: CheckpointHandler) -> None:
        self.checkpoints = checkpoints
        self.overflows = 0

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.reset)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_parameters)

    def reset(self) -> None:
        """Reset the count of steps that overflowed."""
        self.overflows = 0

    def check_loss(self, engine: SupervisedTrainer) -> None:
        """Check the loss of a step before its backward pass.

        Raises:
            FloatingPointError: when it is not finite; with a gradient scaler, when no loss of the epoch is finite.
        """
        loss = engine.state.output["loss"]
        if torch.isfinite(loss):
            return
        self.overflows += 1
        has_scaler = engine.scaler is not None and engine.scaler.is_enabled()
        if not has_scaler or self.overflows == engine.state.epoch_length:
            raise FloatingPointError(self._message(engine, f"the training loss is {loss.item()}"))
        logger.warning(f"the loss of a step in epoch {engine.state.epoch} is {loss.item()}; the step is skipped.")

    def check_parameters(self, engine: SupervisedTrainer) -> None:
        """Check the trainable parameters after the last step of an epoch.

        Raises:
            FloatingPointError: when a value is not finite.
        """
        for name, parameter in engine.network.named_parameters():
            if parameter.requires_grad and not torch.isfinite(parameter).all():
                raise FloatingPointError(self._message(engine, f"the parameter {name} is not finite"))

    def _message(self, engine: SupervisedTrainer, what: str) -> str:
        step = (engine.state.iteration - 1) % engine.state.epoch_length + 1
        good = self.checkpoints.last_saved
        where = f"the last good checkpoint is {good}" if good else "no checkpoint was written"
        return (
            f"{what} in epoch {engine.state.epoch}, step {step} of {engine.state.epoch_length}; {where}; "
            "lower learning_rate, or check the images and masks."
        )
