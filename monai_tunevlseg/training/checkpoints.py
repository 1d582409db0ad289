"""Checkpoints: the best network, and everything that continuing needs, each replaced in one step."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Events
from ignite.handlers import DiskSaver
from monai.engines import Evaluator, Trainer

__all__ = ["CHECKPOINT", "Checkpoints"]

CHECKPOINT = Path("models", "model.pt")
"""Where the folder of a run has its best network, unless ``ckpt_dir`` says otherwise."""

logger = logging.getLogger(__name__)


class _Stateful(Protocol):
    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Checkpoints:
    """Writes ``model.pt`` and ``last.pt`` after each epoch, and continues from ``last.pt`` when asked to.

    ``model.pt`` is the bare state of the network at the best validation metric, as MONAI's ``CheckpointLoader`` and
    ``ckpt_export`` load it. ``last.pt`` has the network under ``model`` and all else that training depends on; random
    numbers are not in it, because they follow from the seed and the epoch. Both are written beside the old file and
    then take its place, so that an interruption leaves the old one. Attach it to the trainer, after validation.

    Args:
        directory: of the two files.
        network: not wrapped for several processes.
        evaluator: the validation engine, which tracks the best metric.
        state: what else continuing needs, by name: optimizer, scheduler, early stopping.
        resume: continue from ``last.pt``.
    """

    def __init__(
        self,
        directory: str | Path,
        network: torch.nn.Module,
        evaluator: Evaluator,
        state: Mapping[str, _Stateful],
        resume: bool = False,
    ) -> None:
        self.best_path = Path(directory) / CHECKPOINT.name
        self.last_path = Path(directory) / "last.pt"
        self.last_saved: Path | None = None
        self.network = network
        self.evaluator = evaluator
        self.state = state
        self.resume = resume

    def attach(self, engine: Trainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def start(self, engine: Trainer) -> None:
        """Restore the run when it is to continue.

        Raises:
            FileNotFoundError: when there is nothing to continue from.
            ValueError: when the checkpoint is damaged, is no checkpoint of training, or has more epochs than wanted.
        """
        if self.resume:
            self._restore(engine, self._read(engine.state.device))
            self.last_saved = self.last_path
            logger.info(f"Continuing after epoch {engine.state.epoch} from {self.last_path}.")

    def save(self, engine: Trainer) -> None:
        """Write the best network, when this epoch's is it, and the state to continue from."""
        write = DiskSaver(self.last_path.parent, atomic=True, require_empty=False)
        if self.evaluator.state.best_metric_epoch == engine.state.epoch:
            write(self.network.state_dict(), self.best_path.name)
        write(self._snapshot(engine), self.last_path.name)
        self.last_saved = self.last_path

    def _snapshot(self, engine: Trainer) -> dict[str, Any]:
        """Return everything that the following epochs depend on."""
        return {
            "epoch": engine.state.epoch,
            "best_metric": self.evaluator.state.best_metric,
            "best_metric_epoch": self.evaluator.state.best_metric_epoch,
            "model": self.network.state_dict(),
            "scaler": engine.scaler.state_dict() if engine.scaler else {},
            **{name: item.state_dict() for name, item in self.state.items()},
        }

    def _read(self, device: torch.device | None) -> dict[str, Any]:
        """Load ``last.pt`` without running code from it."""
        if not self.last_path.is_file():
            raise FileNotFoundError(
                f"resume is true, but there is no checkpoint {self.last_path} to continue from; "
                "train with resume false, or set ckpt_dir to the folder of the interrupted run."
            )
        try:
            snapshot = torch.load(self.last_path, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(f"the checkpoint {self.last_path} cannot be read ({error}); train again.") from error
        wanted = {"epoch", "best_metric", "best_metric_epoch", "model", "scaler", *self.state}
        if missing := sorted(wanted - set(snapshot)):
            raise ValueError(f"the checkpoint {self.last_path} has no {', '.join(missing)}; train with resume false.")
        return snapshot

    def _restore(self, engine: Trainer, snapshot: Mapping[str, Any]) -> None:
        """Put the run back to the end of the checkpoint's epoch."""
        epoch, best_epoch = snapshot["epoch"], snapshot["best_metric_epoch"]
        if epoch > engine.state.max_epochs:
            raise ValueError(
                f"the checkpoint {self.last_path} has {epoch} epochs behind it, more than epochs = "
                f"{engine.state.max_epochs}; raise epochs."
            )
        if best_epoch > 0 and not self.best_path.is_file():
            raise FileNotFoundError(
                f"the best network so far, {self.best_path} of epoch {best_epoch}, is missing beside "
                f"{self.last_path.name}; put it back, or train with resume false."
            )
        self.network.load_state_dict(snapshot["model"])
        if engine.scaler and snapshot["scaler"]:
            engine.scaler.load_state_dict(snapshot["scaler"])
        engine.state.epoch = epoch
        engine.state.iteration = epoch * engine.state.epoch_length
        self.evaluator.state.best_metric = snapshot["best_metric"]
        self.evaluator.state.best_metric_epoch = best_epoch
        for name, item in self.state.items():
            item.load_state_dict(snapshot[name])
