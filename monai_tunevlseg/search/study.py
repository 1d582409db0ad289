"""A study that any number of workers join: the same plan for all of them, and a loop that ends when it is done."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage

from monai_tunevlseg.search.trial_queue import Progress, TrialQueue
from monai_tunevlseg.search.trials import OBJECTIVES, TrialRunner

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
PLAN = "plan"  # the user attribute of a study
STARTUP_TRIALS = 10  # drawn at random, before TPE has something to learn from
PRUNERS: Mapping[str, Callable[[], BasePruner]] = {
    "median": MedianPruner,
    "halving": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
}
POLL = 2.0  # seconds between two looks at the trials of other workers

logger = logging.getLogger(__name__)


def join_study(storage: BaseStorage, name: str, plan: Mapping[str, Any], pruner: str | None = None) -> optuna.Study:
    """Create a study, or join the one of this name when its plan is the same.

    Args:
        storage: where it is kept.
        name: of the study.
        plan: everything that all workers must agree on; JSON. ``objective`` gives the direction.
        pruner: one of `PRUNERS`; None = no pruning.

    Raises:
        ValueError: when there is a study of this name with another plan, or no study of this package.
    """
    objective = OBJECTIVES[plan["objective"]]
    made = PRUNERS[pruner]() if pruner else NopPruner()
    study = optuna.create_study(
        storage=storage, study_name=name, direction=objective.direction, pruner=made, load_if_exists=True
    )
    # trials first: a worker sets the plan before it adds one, so whoever sees a trial sees the plan afterwards
    has_trials = bool(study.get_trials(deepcopy=False))
    attributes = study.user_attrs
    if not isinstance(attributes.get(PLAN), dict):
        if PLAN in attributes or has_trials:
            raise ValueError(f"the study {name!r} was not made by this command; choose another study name.")
        study.set_user_attr(PLAN, dict(plan))
    check_plan(study, plan)
    return study


def check_plan(study: optuna.Study, plan: Mapping[str, Any]) -> None:
    """Refuse to mix trials of two plans.

    Raises:
        ValueError: when the plans differ; names the first difference.
    """
    theirs, ours = study.user_attrs[PLAN], json.loads(json.dumps(plan))
    for key in dict.fromkeys(["version", *theirs, *ours]):
        if theirs.get(key) != ours.get(key):
            raise ValueError(
                f"the study {study.study_name!r} has {key} = {json.dumps(theirs.get(key))}, and this command "
                f"{json.dumps(ours.get(key))}; use the same, or choose another study name."
            )


def check_trials(study: optuna.Study, plan: Mapping[str, Any]) -> None:
    """Refuse trials that did not draw from the plan's space: whoever can write to the storage may have added them.

    Raises:
        ValueError: when one has another hyperparameter, or one with other choices; names both.
    """
    for trial in study.get_trials(deepcopy=False):
        for name, distribution in trial.distributions.items():
            if plan["space"].get(name) != distribution_to_json(distribution):
                raise ValueError(
                    f"trial {trial.number} of the study {study.study_name!r} has {name} = {trial.params[name]!r:.100}, "
                    "drawn from something other than what this study searches; choose another study name."
                )


def make_sampler(slot: int, seed: int, startup_trials: int = STARTUP_TRIALS) -> BaseSampler:
    """Return the sampler of a slot: random for the first ones, then multivariate TPE.

    Each slot has a seed of its own, so that the order in which workers come changes nothing for the first slots, and
    for the others only which trials TPE has to learn from.
    """
    own_seed = int(np.random.SeedSequence([seed, slot]).generate_state(1)[0])
    if slot < startup_trials:
        return RandomSampler(seed=own_seed)
    return TPESampler(seed=own_seed, multivariate=True, n_startup_trials=startup_trials)


def run_trials(queue: TrialQueue, runner: TrialRunner, seed: int, max_failures: int, poll: float = POLL) -> Progress:
    """Run trials, together with other workers, until as many have finished as are wanted.

    Args:
        queue: of the study.
        runner: of the claimed trials.
        seed: of the study.
        max_failures: give up when so many trials of this worker have failed one after another.
        poll: seconds between two looks at the trials of other workers.

    Raises:
        RuntimeError: when too many trials fail; names the last reason.
        KeyboardInterrupt: when the worker is interrupted.
    """
    failures, waiting = 0, False
    while (progress := queue.progress()).done < queue.wanted:
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
            raise RuntimeError(f"{failures} trials failed one after another, the last one with {reason}.")
    return progress
