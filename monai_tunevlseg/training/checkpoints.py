"""Checkpoints: the best network, and the state to resume from, each written atomically."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Evaluator, Trainer

from monai_tunevlseg.atomic_files import atomic_file, remove_unfinished
from monai_tunevlseg.calibration import remove_calibration
from monai_tunevlseg.data.samples import digest_samples
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.training.run_record import (
    HYPERPARAMETERS,
    check_same_run,
    plain_values,
    without_machine_options,
    write_hyperparameters,
)
from monai_tunevlseg.training.weights import checkpoint_errors, read_checkpoint, read_weights

__all__ = ["CHECKPOINT", "CheckpointHandler"]

CHECKPOINT = Path("models", "model.pt")
"""Path of the best network in the folder of a run, unless ``ckpt_dir`` is set."""

NUMBERS: Mapping[str, type | tuple[type, ...]] = {"epoch": int, "best_metric_epoch": int, "best_metric": (int, float)}
ENTRIES = {*NUMBERS, "model", "scaler", "hyperparameters", "data"}

logger = logging.getLogger(__name__)


class _Stateful(Protocol):
    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class CheckpointHandler:
    """Writes ``model.pt`` and ``last.pt`` after each epoch, and resumes from ``last.pt``.

    ``model.pt`` is the state of the network at the best validation metric, as MONAI's ``CheckpointLoader`` and
    ``ckpt_export`` load it; ``hyperparameters.json`` holds the hyperparameters that led to it, and its digest.
    ``last.pt`` holds the network under ``model``, and all other state of the training; random numbers are not part of
    it, because they follow from the seed and the epoch. All files are written atomically, and those of an earlier run
    stay until this run writes its own. Attach it to the trainer, after validation.

    Args:
        directory: folder of the files.
        network: the network, not wrapped for several processes.
        evaluator: the validation engine, which tracks the best metric.
        state: other objects with a state to resume, by name: optimizer, scheduler, early stopping.
        resume: whether to resume from ``last.pt``.
        initial_checkpoint: the checkpoint that training starts from, if any; replaced only by a better one.
        data: the samples by split; resuming with other samples is refused.
        splits: the draft of the splits in use, and the file that it replaces with the first ``model.pt``, so that a
            run that keeps no network leaves the splits of the previous run; None = no splits file.
    """

    def __init__(
        self,
        directory: str | Path,
        network: torch.nn.Module,
        evaluator: Evaluator,
        state: Mapping[str, _Stateful],
        resume: bool = False,
        initial_checkpoint: str | Path | None = None,
        data: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
        splits: tuple[str | Path | None, str | Path | None] = (None, None),
    ) -> None:
        self.directory = Path(directory).expanduser()
        self.best_path = self.directory / CHECKPOINT.name
        self.last_path = self.directory / "last.pt"
        self.last_saved: Path | None = None
        self.network = network
        self.evaluator = evaluator
        self.state = state
        self.resume = resume
        self.initial_checkpoint = None if initial_checkpoint is None else Path(initial_checkpoint).expanduser()
        self.data = data or {}
        self.splits = splits
        self.data_digests: dict[str, str] = {}
        self.hyperparameters: dict[str, Any] = {}

    def record_hyperparameters(self, resolved: Mapping[str, Any]) -> None:
        """Record the hyperparameters among the values of the config, by id."""
        self.hyperparameters = plain_values(resolved)

    def attach(self, engine: Trainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self, engine: Trainer) -> None:
        """Restore a run that resumes; otherwise keep the initial weights if they were validated.

        Raises:
            FileNotFoundError: when the checkpoint to resume from does not exist.
            ValueError: when a checkpoint is damaged, belongs to another run, or has more epochs than ``max_epochs``.
        """
        self.data_digests = {split: digest_samples(samples) for split, samples in self.data.items()}
        if idist.get_rank() == 0:
            for path in (self.best_path, self.last_path, self.directory / HYPERPARAMETERS):
                remove_unfinished(path)
        if self.resume:
            self._restore(engine, self._read(engine.state.device))
            self.last_saved = self.last_path
            logger.info(f"Resuming after epoch {engine.state.epoch} from {self.last_path}.")
        elif self.evaluator.state.best_metric_epoch == 0 and not self._starts_from_best():
            self._save_best()

    def save(self, engine: Trainer) -> None:
        """Write the network if this epoch's is the best, and the state to resume from."""
        if self.evaluator.state.best_metric_epoch == engine.state.epoch:
            self._save_best()
        if idist.get_rank() == 0:
            with atomic_file(self.last_path) as unfinished:
                _write(unfinished, self._snapshot(engine), self.last_path)
        self.last_saved = self.last_path

    def finish(self, engine: Trainer) -> None:
        """Log the path of the best network.

        Raises:
            ValueError: when no network was kept, because no validation gave a number.
        """
        state = self.evaluator.state
        if state.best_metric_epoch < 0:
            raise ValueError(
                f"no validation gave a number for {state.key_metric_name}, so that no network was kept; check the "
                "images and masks, or lower learning_rate."
            )
        epoch = f"of epoch {state.best_metric_epoch}" if state.best_metric_epoch else "from the initial weights"
        score = f"{state.key_metric_name} {state.best_metric:.4f}"
        logger.info(f"The best network, {epoch} ({score}), is {self.best_path}.")

    def _starts_from_best(self) -> bool:
        """Return whether ``model.pt`` is the initial checkpoint itself."""
        if self.initial_checkpoint is None or not self.best_path.is_file():
            return False
        return self.initial_checkpoint.samefile(self.best_path)

    def _save_best(self) -> None:
        if idist.get_rank() > 0:
            return
        if self.last_saved is None:
            self.last_path.unlink(missing_ok=True)  # an earlier run would resume with this run's best network
            self._publish_splits()
        remove_calibration(self.best_path)
        with atomic_file(self.best_path) as unfinished:
            _write(unfinished, self.network.state_dict(), self.best_path)
            if self.hyperparameters:
                write_hyperparameters(self.best_path, self.hyperparameters, file_digest(unfinished))

    def _publish_splits(self) -> None:
        draft, final = self.splits
        # MONAI Label's datalists come without splits
        if draft is not None and final is not None and Path(draft).is_file():
            Path(draft).replace(final)

    def _snapshot(self, engine: Trainer) -> dict[str, Any]:
        """Return the state that the following epochs depend on."""
        return {
            "epoch": engine.state.epoch,
            "best_metric": self.evaluator.state.best_metric,
            "best_metric_epoch": self.evaluator.state.best_metric_epoch,
            "model": self.network.state_dict(),
            "scaler": engine.scaler.state_dict() if engine.scaler else {},
            "hyperparameters": without_machine_options(self.hyperparameters),
            "data": self.data_digests,
            **{name: item.state_dict() for name, item in self.state.items()},
        }

    def _read(self, device: torch.device | None) -> dict[str, Any]:
        """Read ``last.pt`` without running code from it."""
        if not self.last_path.is_file():
            raise FileNotFoundError(
                f"resume is true, but the checkpoint {self.last_path} does not exist; train with resume false, or set "
                "ckpt_dir to the folder of the interrupted run."
            )
        snapshot = read_checkpoint(self.last_path, device)
        if missing := sorted({*ENTRIES, *self.state} - set(snapshot)):
            raise ValueError(f"the checkpoint {self.last_path} lacks {', '.join(missing)}; train with resume false.")
        for name, kind in NUMBERS.items():
            if not isinstance(snapshot[name], kind) or isinstance(snapshot[name], bool):
                raise ValueError(
                    f"the checkpoint {self.last_path} has {name} {snapshot[name]!r:.80}; train with resume false."
                )
        return snapshot

    def _restore(self, engine: Trainer, snapshot: Mapping[str, Any]) -> None:
        """Restore the run to the end of the checkpoint's epoch."""
        epoch, best_epoch = snapshot["epoch"], snapshot["best_metric_epoch"]
        check_same_run(self.last_path, snapshot, without_machine_options(self.hyperparameters), self.data_digests)
        if not 0 < epoch <= engine.state.max_epochs:
            raise ValueError(
                f"the checkpoint {self.last_path} was written after epoch {epoch}, beyond epochs = "
                f"{engine.state.max_epochs}; raise epochs."
            )
        if best_epoch >= 0:
            self._check_best(best_epoch)
        with checkpoint_errors(self.last_path, "does not fit this run"):
            self.network.load_state_dict(snapshot["model"])
            if engine.scaler and snapshot["scaler"]:
                engine.scaler.load_state_dict(snapshot["scaler"])
            engine.state.epoch = epoch
            engine.state.iteration = epoch * engine.state.epoch_length
            self.evaluator.state.best_metric = snapshot["best_metric"]
            self.evaluator.state.best_metric_epoch = best_epoch
            for name, item in self.state.items():
                item.load_state_dict(snapshot[name])

    def _check_best(self, epoch: int) -> None:
        if not self.best_path.is_file():
            raise FileNotFoundError(
                f"the best network, {self.best_path} of epoch {epoch}, is missing beside {self.last_path.name}; "
                "restore it, or train with resume false."
            )
        read_weights(self.best_path)


def _write(unfinished: Path, state: Mapping[str, Any], path: Path) -> None:
    """Write the unfinished file of ``path``.

    Raises:
        OSError: when writing fails, as on a full disk; names ``path``.
    """
    try:
        with unfinished.open("wb") as stream:
            torch.save(state, stream)
    except (OSError, RuntimeError) as error:
        raise OSError(f"the checkpoint {path} cannot be written ({error}); free disk space, and resume.") from error
