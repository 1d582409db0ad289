"""Early stopping with a state that a resumed run restores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Stops the trainer after a number of validations without improvement of the validation loss.

    The loss is compared with that of the last improvement, as in PyTorch Lightning, so that small improvements add up.
    NaN is not an improvement. Attach it to the trainer.

    Args:
        validator: the evaluator that computes the metric.
        patience: validations without improvement after which the trainer stops, 1 or more.
        min_delta: minimum decrease that counts as an improvement, 0 or more.
        min_epochs: minimum number of epochs before the trainer stops.
        metric: name of the metric, lower is better.

    Raises:
        ValueError: when ``patience`` or ``min_delta`` is out of range.
    """

    def __init__(
        self, validator: Engine, patience: int, min_delta: float = 0.0, min_epochs: int = 0, metric: str = "val_loss"
    ) -> None:
        if not patience >= 1:
            raise ValueError(f"early_stopping_patience is {patience}; it must be 1 or more.")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"early_stopping_min_delta is {min_delta}; it must be a finite number, 0 or more.")
        self.validator = validator
        self.patience = patience
        self.min_delta = min_delta
        self.min_epochs = min_epochs
        self.metric = metric
        self.trainer: Engine | None = None
        self.best = math.inf
        self.counter = 0

    def attach(self, engine: Engine) -> None:
        """Register with the trainer to stop, and with the validation engine."""
        self.trainer = engine
        self.validator.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, validator: Engine) -> None:
        """Count a completed validation."""
        value = float(validator.state.metrics[self.metric])
        if value < self.best - self.min_delta:
            self.best, self.counter = value, 0
        else:
            self.counter += 1
        self._stop_without_improvement(validator.state.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the count and the best value."""
        return {"counter": self.counter, "best": self.best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the count; a run that had been stopped stops at once."""
        self.counter, self.best = int(state_dict["counter"]), float(state_dict["best"])
        if self.trainer is not None:
            self._stop_without_improvement(self.trainer.state.epoch)

    def _stop_without_improvement(self, epoch: int) -> None:
        if self.trainer is not None and self.counter >= self.patience and epoch >= self.min_epochs:
            self.trainer.terminate()
