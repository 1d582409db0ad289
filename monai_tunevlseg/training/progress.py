"""The progress bar of a training run."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from ignite.handlers import ProgressBar

__all__ = ["TrainingProgress"]


class TrainingProgress(ProgressBar):
    """Ignite's progress bar over the steps of an epoch, with the loss; shown on a terminal only."""

    def __init__(self) -> None:
        super().__init__(persist=True, disable=None)

    def attach(self, engine: Engine, **kwargs: Any) -> None:  # type: ignore[override]
        """Register with the trainer, whose output is a list with one dictionary per sample."""
        super().attach(engine, output_transform=lambda output: {"loss": float(output[0]["loss"])}, **kwargs)
