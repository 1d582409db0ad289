"""A study that any number of workers share: its plan, its samplers, and the loop of a worker."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage

from monai_tunevlseg.search.trial_queue import Progress, TrialQueue
from monai_tunevlseg.search.trials import OBJECTIVES, TrialRunner
from monai_tunevlseg.training import derive_seed

__all__ = [
    "PLAN_VERSION",
    "PRUNERS",
    "STARTUP_TRIALS",
    "check_plan",
    "check_trials",
    "join_study",
    "make_sampler",
    "run_trials",
]

PLAN_VERSION = 1
PLAN = "plan"  # user attribute of a study
STARTUP_TRIALS = 10  # random trials before TPE
PRUNERS: Mapping[str, Callable[[], BasePruner]] = {
    "median": MedianPruner,
    "halving": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
}
POLL = 2.0  # seconds between two checks of the trials of other workers

logger = logging.getLogger(__name__)


def join_study(storage: BaseStorage, name: str, plan: Mapping[str, Any], pruner: str | None = None) -> optuna.Study:
    """Create a study, or join the study of this name when it has the same plan.

    Args:
        storage: storage of the study.
        name: name of the study.
        plan: JSON values on which all workers agree; ``objective`` determines the direction.
        pruner: one of `PRUNERS`; None = no pruning.

    Raises:
        ValueError: when the study of this name has another plan, or was not created by this package.
    """
    objective = OBJECTIVES[plan["objective"]]
    made = PRUNERS[pruner]() if pruner else NopPruner()
    study = optuna.create_study(
        storage=storage, study_name=name, direction=objective.direction, pruner=made, load_if_exists=True
    )
    # trials first: a worker sets the plan before it adds a trial, so that a study with trials has a plan
    has_trials = bool(study.get_trials(deepcopy=False))
    attributes = study.user_attrs
    if not isinstance(attributes.get(PLAN), dict):
        if PLAN in attributes or has_trials:
            raise ValueError(f"the study {name!r} was not created by this command; choose another study name.")
        study.set_user_attr(PLAN, dict(plan))
    check_plan(study, plan)
    return study


def check_plan(study: optuna.Study, plan: Mapping[str, Any]) -> None:
    """Check that the study has this plan.

    Raises:
        ValueError: when the plans differ; names the first difference.
    """
    theirs, ours = study.user_attrs[PLAN], json.loads(json.dumps(plan))
    for key in dict.fromkeys(["version", *theirs, *ours]):
        if theirs.get(key) != ours.get(key):
            raise ValueError(
                f"the study {study.study_name!r} has {key} = {json.dumps(theirs.get(key))}, but this command has "
                f"{json.dumps(ours.get(key))}; use the same value, or choose another study name."
            )


def check_trials(study: optuna.Study, plan: Mapping[str, Any]) -> None:
    """Check that all trials draw from the search space of the plan, because other programs may write to the storage.

    Raises:
        ValueError: when a trial has another hyperparameter or another distribution; names both.
    """
    for trial in study.get_trials(deepcopy=False):
        for name, distribution in trial.distributions.items():
            if plan["space"].get(name) != distribution_to_json(distribution):
                raise ValueError(
                    f"trial {trial.number} of the study {study.study_name!r} has {name} = {trial.params[name]!r:.100}, "
                    "which is not from the search space of this study; choose another study name."
                )


def make_sampler(slot: int, seed: int, startup_trials: int = STARTUP_TRIALS) -> BaseSampler:
    """Return the sampler of a slot: random for the first slots, then multivariate TPE.

    Each slot has its own seed. The order of the workers therefore does not change the first slots, and for the others
    only the trials that TPE models.

    Args:
        slot: slot of the search, from 0.
        seed: random seed of the search.
        startup_trials: number of random slots.
    """
    own_seed = derive_seed(seed, slot)
    if slot < startup_trials:
        return RandomSampler(seed=own_seed)
    return TPESampler(seed=own_seed, multivariate=True, n_startup_trials=startup_trials)


def run_trials(queue: TrialQueue, runner: TrialRunner, seed: int, max_failures: int, poll: float = POLL) -> Progress:
    """Run trials, together with other workers, until the search has finished.

    Args:
        queue: queue of the study.
        runner: runner of a trial.
        seed: random seed of the search.
        max_failures: number of failed trials in a row after which this worker gives up.
        poll: seconds between two checks of the trials of other workers.

    Returns:
        the progress at the end.

    Raises:
        RuntimeError: when too many trials in a row fail; names the last reason.
        KeyboardInterrupt: when a shutdown is requested.
    """
    failures, waiting = 0, False
    while (progress := queue.progress()).done < queue.n_trials:
        runner.shutdown.raise_if_requested()
        acquired = queue.acquire()
        if acquired is None:
            if not waiting and not progress.open_slots:
                logger.info(f"waiting for {progress.running} trials of other workers")
                waiting = True
            runner.shutdown.sleep(random.uniform(0.02, 0.2) if progress.open_slots else poll)
            continue
        waiting = False
        queue.study.sampler = make_sampler(acquired.slot, seed)
        reason = runner.run(acquired)
        failures = failures + 1 if reason else 0
        if failures >= max_failures:
            raise RuntimeError(f"{failures} trials in a row failed, the last one with: {reason}.")
    return progress
