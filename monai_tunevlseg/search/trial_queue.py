"""Who runs what: workers share a study's trials without a coordinator, and exactly as many finish as are wanted.

A search of N trials has the slots 0 to N - 1. A worker creates its trial with its slot, in one step of the storage, and
looks at the slot again: when an earlier trial holds it, this one gives way. The storage numbers trials in the order in
which it creates them, so that of two workers one always sees the other, and no slot ever has two trials that finish.
Optuna's queue of waiting trials is not used, because SQLite hands one to two workers. Slots, and not the order in which
workers come, give the seeds.

How a trial ended decides its slot:

- finished or pruned: the slot is done;
- crashed: the slot is spent, and one more is opened at the end, with other hyperparameters;
- interrupted, or its worker was lost: the slot is open again, and the next trial gets the same hyperparameters.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from monai_tunevlseg.search.heartbeat import HEARTBEAT_KEY, Heartbeat, StaleTrialDetector, heartbeat_value

__all__ = ["CRASHED", "INTERRUPTED", "AcquiredTrial", "TrialQueue", "Progress", "finished_trials", "progress_of"]

SLOT, TOKEN, CAUSE, REASON = "slot", "token", "cause", "reason"  # user attributes
CRASHED, INTERRUPTED, SURPLUS = "crashed", "interrupted", "surplus"  # causes; a lost worker leaves none
DONE = (TrialState.COMPLETE, TrialState.PRUNED)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
        done: trials that have finished or were pruned.
        running: trials that a worker runs.
        crashed: trials that were lost to an error.
        open_slots: what nobody runs yet.
    """

    done: int
    running: int
    crashed: int
    open_slots: tuple[int, ...]


@dataclass(frozen=True)
class AcquiredTrial:
    """A trial that this worker runs, and nobody else.

    Attributes:
        trial: Optuna's.
        slot: its place in the search.
    """

    trial: optuna.Trial
    slot: int


class TrialQueue:
    """Hands out the trials of a study.

    Args:
        study: shared with other workers.
        wanted: how many trials are to finish.
        names: of the hyperparameters that every trial has.
        heartbeat_interval: seconds between two signs of life of a running trial.
        grace_period: seconds without one until a trial is given up for dead.
    """

    def __init__(
        self,
        study: optuna.Study,
        wanted: int,
        names: Collection[str],
        heartbeat_interval: float,
        grace_period: float,
    ) -> None:
        self.study = study
        self.wanted = wanted
        self.names = frozenset(names)
        self.heartbeat_interval = heartbeat_interval
        self.stale_trials = StaleTrialDetector(grace_period)

    def progress(self) -> Progress:
        """Return how far the search is."""
        return progress_of(self.study.get_trials(deepcopy=False), self.wanted)

    def acquire(self) -> AcquiredTrial | None:
        """Take a trial; None when there is none to take at this moment."""
        self._fail_stale_trials()
        trials = self.study.get_trials(deepcopy=False)
        slots = progress_of(trials, self.wanted).open_slots
        if not slots:
            return None
        trial = self._create(slots[0], _params_of_slot(trials, slots[0], self.names))
        if self._is_taken(slots[0], before=trial.number):
            self.fail(trial, SURPLUS, "another worker was first")
            return None
        return AcquiredTrial(trial, slots[0])

    def keep_alive(self, acquired: AcquiredTrial) -> Heartbeat:
        """Give signs of life of a trial, as long as the returned block lasts."""
        return Heartbeat(acquired.trial, self.heartbeat_interval)

    def fail(self, trial: optuna.Trial, cause: str, reason: str) -> None:
        """End a trial of this worker without a result; nothing happens when another worker has done it already."""
        try:
            trial.set_user_attr(CAUSE, cause)
            trial.set_user_attr(REASON, reason)
            self.study.tell(trial, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):
            logger.info(f"trial {trial.number} had been ended already")

    def _create(self, slot: int, params: dict[str, Any]) -> optuna.Trial:
        """Create a running trial, with the hyperparameters that it must have, if any."""
        token = uuid.uuid4().hex
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                user_attrs={SLOT: slot, TOKEN: token, HEARTBEAT_KEY: heartbeat_value(0)},
                system_attrs={"fixed_params": params},  # as Study.enqueue_trial hands them over
            )
        )
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        created = next(trial for trial in running if trial.user_attrs.get(TOKEN) == token)
        return optuna.Trial(self.study, created._trial_id)

    def _is_taken(self, slot: int, before: int) -> bool:
        """Return whether an earlier trial holds the slot, or has spent it."""
        earlier = [t for t in self.study.get_trials(deepcopy=False) if t.number < before and _slot(t) == slot]
        return any(trial.state != TrialState.FAIL or _is_crashed(trial) for trial in earlier)

    def _fail_stale_trials(self) -> None:
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self.stale_trials.is_stale(trial):
                continue
            try:
                self.study.tell(trial.number, state=TrialState.FAIL)
                logger.warning(f"the worker of trial {trial.number} is gone; its trial will be run again")
            except (UpdateFinishedTrialError, ValueError):
                logger.info(f"trial {trial.number} had been ended already")


def progress_of(trials: Sequence[FrozenTrial], wanted: int) -> Progress:
    """Return how far a search of so many wanted trials is."""
    placed = [trial for trial in trials if _slot(trial) is not None]
    crashed = {_slot(trial) for trial in placed if _is_crashed(trial)}
    held = {_slot(trial) for trial in placed if trial.state != TrialState.FAIL}
    done = {_slot(trial) for trial in placed if trial.state in DONE}
    slots = range(wanted + len(crashed))
    return Progress(
        done=len(done),
        running=len(held - done),
        crashed=len(crashed),
        open_slots=tuple(slot for slot in slots if slot not in crashed and slot not in held),
    )


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that have a result, by slot."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted((trial for trial in trials if _slot(trial) is not None), key=lambda trial: trial.user_attrs[SLOT])


def _slot(trial: FrozenTrial) -> int | None:
    return trial.user_attrs.get(SLOT)


def _is_crashed(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get(CAUSE) == CRASHED


def _params_of_slot(trials: Sequence[FrozenTrial], slot: int, names: frozenset[str]) -> dict[str, Any]:
    """Return the hyperparameters that a slot has had, when its trial was interrupted or lost; else none.

    A trial that was lost between two suggestions has trained nothing. Were its part of them handed over, the slot's
    sampler would draw the rest from another place of its sequence.
    """
    earlier = [trial.params for trial in trials if _slot(trial) == slot and names <= trial.params.keys()]
    return dict(earlier[-1]) if earlier else {}
