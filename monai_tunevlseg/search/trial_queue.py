"""A queue of trials without a coordinator: workers share a study, and exactly N trials finish.

A search of N trials has the slots 0 to N - 1. A worker creates its trial together with its slot, in one storage call,
and then reads the slot again: when an earlier trial holds it, the later one fails. The storage numbers trials in the
order of their creation, so that of two workers one always sees the other, and no slot has two finished trials.
Optuna's queue of waiting trials is not used, because SQLite gives one trial to two workers. The slot determines the
random seed, so that results do not depend on the order of the workers.

The end of a trial determines the state of its slot:

- finished or pruned: the slot is done;
- crashed: the slot is used up, and a new one with other hyperparameters is added at the end;
- interrupted, or its worker is lost: the slot is open again, and the next trial gets the same hyperparameters.
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

from monai_tunevlseg.search.heartbeat import HEARTBEAT_KEY, StaleTrialDetector, heartbeat_value

__all__ = ["CRASHED", "INTERRUPTED", "AcquiredTrial", "Progress", "TrialQueue", "finished_trials", "progress_of"]

SLOT, TOKEN, CAUSE, REASON = "slot", "token", "cause", "reason"  # user attributes of a trial
CRASHED, INTERRUPTED, SURPLUS = "crashed", "interrupted", "surplus"  # values of CAUSE; a lost worker leaves none
DONE = (TrialState.COMPLETE, TrialState.PRUNED)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """Progress of a search.

    Attributes:
        done: number of finished and pruned trials.
        running: number of running trials.
        crashed: number of crashed trials.
        open_slots: slots without a trial.
    """

    done: int
    running: int
    crashed: int
    open_slots: tuple[int, ...]


@dataclass(frozen=True)
class AcquiredTrial:
    """A trial that this worker alone runs.

    Attributes:
        trial: the running trial of Optuna.
        slot: slot of the search, from 0.
    """

    trial: optuna.Trial
    slot: int


class TrialQueue:
    """Hands out the trials of a study.

    Args:
        study: study that other workers may share.
        n_trials: number of trials to finish.
        param_names: names of the hyperparameters of every trial.
        heartbeat_interval: seconds between two heartbeats of a running trial.
        grace_period: seconds without a heartbeat before a trial counts as stale.
    """

    def __init__(
        self,
        study: optuna.Study,
        n_trials: int,
        param_names: Collection[str],
        heartbeat_interval: float,
        grace_period: float,
    ) -> None:
        self.study = study
        self.n_trials = n_trials
        self.param_names = frozenset(param_names)
        self.heartbeat_interval = heartbeat_interval
        self.stale_detector = StaleTrialDetector(grace_period)

    def progress(self) -> Progress:
        """Return the progress of the search."""
        return progress_of(self.study.get_trials(deepcopy=False), self.n_trials)

    def acquire(self) -> AcquiredTrial | None:
        """Create a trial in the first open slot; return None when no slot is open or another worker was first."""
        self._fail_stale_trials()
        trials = self.study.get_trials(deepcopy=False)
        slots = progress_of(trials, self.n_trials).open_slots
        if not slots:
            return None
        trial = self._create(slots[0], _params_of_slot(trials, slots[0], self.param_names))
        if self._is_taken(slots[0], before=trial.number):
            self.fail(trial, SURPLUS, "another worker was first")
            return None
        return AcquiredTrial(trial, slots[0])

    def fail(self, trial: optuna.Trial, cause: str, reason: str) -> None:
        """Fail a trial of this worker; do nothing when another worker has failed it already."""
        try:
            trial.set_user_attr(CAUSE, cause)
            trial.set_user_attr(REASON, reason)
            self.study.tell(trial, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):
            logger.info(f"trial {trial.number} has ended already")

    def _create(self, slot: int, params: dict[str, Any]) -> optuna.Trial:
        """Create a running trial with fixed hyperparameters, which may be none."""
        token = uuid.uuid4().hex
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                user_attrs={SLOT: slot, TOKEN: token, HEARTBEAT_KEY: heartbeat_value(0)},
                system_attrs={"fixed_params": params},  # the key that Study.enqueue_trial uses
            )
        )
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        created = next(trial for trial in running if trial.user_attrs.get(TOKEN) == token)
        return optuna.Trial(self.study, created._trial_id)

    def _is_taken(self, slot: int, before: int) -> bool:
        """Return whether an earlier trial holds the slot or has used it up."""
        earlier = [t for t in self.study.get_trials(deepcopy=False) if t.number < before and _slot(t) == slot]
        return any(trial.state != TrialState.FAIL or _is_crashed(trial) for trial in earlier)

    def _fail_stale_trials(self) -> None:
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self.stale_detector.is_stale(trial):
                continue
            try:
                self.study.tell(trial.number, state=TrialState.FAIL)
                logger.warning(f"the worker of trial {trial.number} is lost; the trial is run again")
            except (UpdateFinishedTrialError, ValueError):
                logger.info(f"trial {trial.number} has ended already")


def progress_of(trials: Sequence[FrozenTrial], n_trials: int) -> Progress:
    """Return the progress of a search of ``n_trials`` trials."""
    placed = [trial for trial in trials if _slot(trial) is not None]
    crashed = {_slot(trial) for trial in placed if _is_crashed(trial)}
    held = {_slot(trial) for trial in placed if trial.state != TrialState.FAIL}
    done = {_slot(trial) for trial in placed if trial.state in DONE}
    slots = range(n_trials + len(crashed))
    return Progress(
        done=len(done),
        running=len(held - done),
        crashed=len(crashed),
        open_slots=tuple(slot for slot in slots if slot not in crashed and slot not in held),
    )


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the finished trials, sorted by slot."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted((trial for trial in trials if _slot(trial) is not None), key=lambda trial: trial.user_attrs[SLOT])


def _slot(trial: FrozenTrial) -> int | None:
    return trial.user_attrs.get(SLOT)


def _is_crashed(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get(CAUSE) == CRASHED


def _params_of_slot(trials: Sequence[FrozenTrial], slot: int, names: frozenset[str]) -> dict[str, Any]:
    """Return the hyperparameters of the interrupted or lost trial of a slot; none when it had only a part of them.

    With a part of them the sampler of the slot would draw the rest from another position of its random sequence.
    """
    earlier = [trial.params for trial in trials if _slot(trial) == slot and names <= trial.params.keys()]
    return dict(earlier[-1]) if earlier else {}
