"""Stops a run whose loss or parameters are not finite, before anything is saved."""

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
    """Raises on a NaN or infinite loss, or such a parameter at the end of an epoch.

    With a gradient scaler a step that overflows in half precision is left out by the scaler, and the run continues,
    unless all steps of an epoch overflow. Attach it to the trainer before validation and checkpoints.

    Args:
        checkpoints: names the last good checkpoint for the message.
    """

    def __init__(self, checkpoints: CheckpointHandler) -> None:
        self.checkpoints = checkpoints
        self.overflows = 0

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.count_anew)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_parameters)

    def count_anew(self) -> None:
        """Forget the steps of the epoch before that overflowed."""
        self.overflows = 0

    def check_loss(self, engine: SupervisedTrainer) -> None:
        """Look at the loss of this step before it goes backward.

        Raises:
            FloatingPointError: when it is not finite, and with a gradient scaler when none of the epoch was.
        """
        loss = engine.state.output["loss"]
        if torch.isfinite(loss):
            return
        self.overflows += 1
        if not _has_scaler(engine) or self.overflows == engine.state.epoch_length:
            raise FloatingPointError(self._message(engine, f"the training loss is {loss.item()}"))
        logger.warning(f"the loss of a step in epoch {engine.state.epoch} is {loss.item()}; the step is left out.")

    def check_parameters(self, engine: SupervisedTrainer) -> None:
        """Look at what trains, after the last step of an epoch.

        Raises:
            FloatingPointError: when a value is not finite.
        """
        for name, parameter in engine.network.named_parameters():
            if parameter.requires_grad and not torch.isfinite(parameter).all():
                raise FloatingPointError(self._message(engine, f"the parameter {name} is not finite"))

    def _message(self, engine: SupervisedTrainer, what: str) -> str:
        step = (engine.state.iteration - 1) % engine.state.epoch_length + 1
        good = self.checkpoints.last_saved
        where = f"the last good checkpoint is {good}" if good else "no checkpoint was written before"
        return (
            f"{what} in epoch {engine.state.epoch}, step {step} of {engine.state.epoch_length}; {where}; "
            "lower learning_rate, or look for broken images and masks."
        )


def _has_scaler(engine: SupervisedTrainer) -> bool:
    return engine.scaler is not None and engine.scaler.is_enabled()
