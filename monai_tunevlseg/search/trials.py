"""One trial: a bundle run in a child process, and the result that is read from its output."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from monai_tunevlseg.bundle_processes import ChildProcess, failure_reason
from monai_tunevlseg.search.graceful_shutdown import GracefulShutdown
from monai_tunevlseg.search.heartbeat import Heartbeat
from monai_tunevlseg.search.limits import HangDetector, Limits
from monai_tunevlseg.search.output_folder import FOLDER, discard_checkpoints, make_trial_folder, trial_folder
from monai_tunevlseg.search.search_space import SearchSpace, format_params, suggest
from monai_tunevlseg.search.trial_queue import CRASHED, INTERRUPTED, AcquiredTrial, TrialQueue
from monai_tunevlseg.training import CHECKPOINT, read_validation_log

__all__ = ["OBJECTIVES", "Objective", "TrialRunner", "trial_problem"]

VALIDATION_LOG, LOG = Path("eval", "validation.jsonl"), "log.txt"
RESUME_CHECKPOINT = Path("models", "last.pt")  # unneeded after a trial has finished
CHOOSES_EPOCH = "val_mean_dice"  # the checkpoint is that of the highest value
POLL = 0.25  # seconds between two checks of a running trial

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Objective:
    """Metric by which trials are compared.

    Attributes:
        metric: name in the validation log.
        direction: "maximize" or "minimize".
    """

    metric: str
    direction: Literal["minimize", "maximize"]


OBJECTIVES: Mapping[str, Objective] = {
    "val_dice": Objective("val_mean_dice", "maximize"),
    "val_loss": Objective("val_loss", "minimize"),
}
"""Both are taken at the epoch of the checkpoint, which has the highest validation Dice."""


class TrialRunner:
    """Runs the trials that this worker has acquired.

    Args:
        queue: queue of the study.
        space: search space.
        objective: one of `OBJECTIVES`.
        folder: parent folder of the trials' folders.
        command: returns the command for a trial's folder and hyperparameters; the command writes ``models/model.pt``
            and ``eval/validation.jsonl`` into the folder.
        shutdown: shutdown request, checked while a trial runs.
        prune: whether the study's pruner may stop trials early.
        limits: time limits of a trial; a trial that exceeds them is stopped and fails.
    """

    def __init__(
        self,
        queue: TrialQueue,
        space: SearchSpace,
        objective: str,
        folder: Path,
        command: Callable[[Path, Mapping[str, Any]], Sequence[str]],
        shutdown: GracefulShutdown,
        prune: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.queue = queue
        self.space = space
        self.objective = OBJECTIVES[objective]
        self.folder = folder
        self.command = command
        self.shutdown = shutdown
        self.prune = prune
        self.limits = limits or Limits()

    def run(self, acquired: AcquiredTrial) -> str | None:
        """Run a trial.

        Returns:
            the reason of a failure, in one line; None when the trial finished, was pruned, or went to another worker.

        Raises:
            KeyboardInterrupt: when a shutdown is requested; the process has ended, and the slot is open again.
            OSError: when the folder cannot be written or the storage cannot be used; the slot is open again.
        """
        try:
            return self._run(acquired)
        except UpdateFinishedTrialError:
            logger.warning(f"another worker has failed trial {acquired.trial.number} as stale; its result is dropped")
            return None
        except BaseException:
            with suppress(ConnectionError):
                self.queue.fail(acquired.trial, INTERRUPTED, "interrupted")
            raise

    def _run(self, acquired: AcquiredTrial) -> str | None:
        trial, folder = acquired.trial, trial_folder(self.folder, acquired.trial.number)
        with Heartbeat(trial, self.queue.heartbeat_interval) as heartbeat:
            params = suggest(trial, self.space)
            make_trial_folder(folder)
            complete = False
            try:
                trial.set_user_attr(FOLDER, str(folder.absolute()))
                logger.info(f"trial {trial.number} (slot {acquired.slot}): {format_params(params)}")
                started = time.monotonic()
                end = self._watch(trial, ChildProcess(self.command(folder, params), folder / LOG), heartbeat, folder)
                if heartbeat.lost.is_set():
                    raise UpdateFinishedTrialError
                if end is None:
                    self.queue.study.tell(trial, state=TrialState.PRUNED)
                    logger.info(f"trial {trial.number} was pruned")
                    return None
                reason = self._conclude(trial, folder, end, time.monotonic() - started)
                complete = reason is None
                return reason
            finally:
                if not complete:
                    discard_checkpoints(folder)

    def _watch(self, trial: optuna.Trial, child: ChildProcess, heartbeat: Heartbeat, folder: Path) -> int | str | None:
        """Return the exit status, or the exceeded limit; None when the trial is pruned or went to another worker."""
        reported, hang_detector = 0, HangDetector(self.limits, [folder / LOG, folder / VALIDATION_LOG])
        try:
            while (status := child.wait(POLL)) is None:
                self.shutdown.raise_if_requested()
                if heartbeat.lost.is_set():
                    return None
                if problem := hang_detector.problem():
                    return problem
                reported, to_prune = self._report(trial, folder, reported)
                if to_prune:
                    return None
            self._report(trial, folder, reported)  # for the pruning of other trials
            return status
        finally:
            child.stop()

    def _report(self, trial: optuna.Trial, folder: Path, reported: int) -> tuple[int, bool]:
        """Report new validations to the pruner; return the last reported epoch, and whether to prune."""
        for line in read_validation_log(folder / VALIDATION_LOG) if self.prune else ():
            if line["epoch"] > reported:
                reported = line["epoch"]
                trial.report(float(line[self.objective.metric]), step=reported)
                if trial.should_prune():
                    return reported, True
        return reported, False

    def _conclude(self, trial: optuna.Trial, folder: Path, end: int | str, seconds: float) -> str | None:
        """Read the result and report it to the study; return the reason when the trial failed."""
        if isinstance(end, str):
            reason: str | None = end
        else:
            reason = failure_reason(end, folder / LOG) if end else trial_problem(folder)
        facts: dict[str, Any] = {"seconds": round(seconds, 3)}
        if reason is None:
            curve = read_validation_log(folder / VALIDATION_LOG)
            kept = max(curve, key=lambda line: (line[CHOOSES_EPOCH], -line["epoch"]))
            facts |= {name: kept[objective.metric] for name, objective in OBJECTIVES.items()}
            facts |= {"epoch": kept["epoch"], "epochs": curve[-1]["epoch"]}
            facts["seconds_per_step"] = curve[-1].get("seconds_per_step")
            facts["peak_memory_bytes"] = max(line.get("peak_memory_bytes", 0) for line in curve)
            if not math.isfinite(kept[self.objective.metric]):
                reason = f"its {self.objective.metric} is {kept[self.objective.metric]}"
        for name, fact in facts.items():
            trial.set_user_attr(name, fact)
        if reason is not None:
            self.queue.fail(trial, CRASHED, reason)
            logger.warning(f"trial {trial.number} failed: {reason}; its log is {folder / LOG}")
            return f"{reason}; its log is {folder / LOG}"
        (folder / RESUME_CHECKPOINT).unlink(missing_ok=True)
        value = float(kept[self.objective.metric])
        self.queue.study.tell(trial, value)
        logger.info(f"trial {trial.number} finished: {self.objective.metric} {value:.4f} in {seconds:.0f} s")
        return None


def trial_problem(folder: Path) -> str | None:
    """Return the problem with the folder of a finished trial; None when it has none."""
    if not folder.is_dir():
        return f"no folder {folder} on this machine"
    checkpoint = folder / CHECKPOINT
    if not checkpoint.is_file() or not checkpoint.stat().st_size:
        return f"{checkpoint} is missing or empty"
    try:
        curve = read_validation_log(folder / VALIDATION_LOG)
    except (ValueError, OSError) as error:
        return str(error).rstrip(".")
    if not curve:
        return f"{folder / VALIDATION_LOG} is missing or empty"
    for objective in OBJECTIVES.values():
        if not all(isinstance(line.get(objective.metric), int | float) for line in curve):
            return f"{folder / VALIDATION_LOG} lacks {objective.metric}"
    return None
