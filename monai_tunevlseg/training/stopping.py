"""Early stopping whose count survives an interruption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine
from ignite.handlers import EarlyStopping as IgniteEarlyStopping
from monai.handlers import EarlyStopHandler

__all__ = ["EarlyStopping"]


class EarlyStopping(EarlyStopHandler):
    """MONAI's ``EarlyStopHandler`` on a validation loss, attached to the trainer and counting validations.

    Args:
        validator: the evaluator that computes the metric.
        patience: validations without improvement after which the trainer stops, 1 or more.
        min_delta: a smaller decrease of the metric is no improvement, 0 or more.
        metric: name of the metric to decrease.
    """

    def __init__(self, validator: Engine, patience: int, min_delta: float = 0.0, metric: str = "val_loss") -> None:
        super().__init__(
            patience=patience, score_function=lambda engine: -engine.state.metrics[metric], min_delta=min_delta
        )
        self.validator = validator

    def attach(self, engine: Engine) -> None:
        """Stop this trainer, and look at the metric whenever the validator has finished."""
        self.set_trainer(engine)
        super().attach(self.validator)

    def state_dict(self) -> dict[str, Any]:
        """Return the count and the best score so far."""
        return dict(self._attached().state_dict())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue counting; a run that had stopped already stops at once."""
        handler = self._attached()
        handler.load_state_dict(state_dict)
        if handler.counter >= handler.patience:
            handler.trainer.terminate()

    def _attached(self) -> IgniteEarlyStopping:
        """Return ignite's handler, which exists once there is a trainer."""
        handler: IgniteEarlyStopping | None = self._handler
        if handler is None:
            raise RuntimeError("EarlyStopping has no trainer yet: attach it to the trainer first.")
        return handler
