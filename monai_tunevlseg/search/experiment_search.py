"""The search of an experiment, from its name to the test of the best trial."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import distribution_to_json

from monai_tunevlseg.bundle_processes import bundle_command
from monai_tunevlseg.feature_cache import check_constant, is_off
from monai_tunevlseg.hyperparameters import hyperparameter_types, parse_hyperparameter
from monai_tunevlseg.search.best_trial import choose_best, write_overlay, write_trained_bundle
from monai_tunevlseg.search.checkpoint_evaluation import evaluate_checkpoint
from monai_tunevlseg.search.experiments import (
    BaseModelInfo,
    Experiment,
    build_network,
    dataset_digest,
    describe_base_model,
    find_experiment,
    read_experiment_config,
)
from monai_tunevlseg.search.graceful_shutdown import GracefulShutdown
from monai_tunevlseg.search.limits import Limits
from monai_tunevlseg.search.output_folder import TRIALS, find_trial_folder, remove_unneeded_files, reserve_output_folder
from monai_tunevlseg.search.results import (
    SEARCH_FILE,
    SearchResult,
    read_search_result,
    trial_results,
    write_search_result,
)
from monai_tunevlseg.search.search_space import SearchSpace, read_search_space
from monai_tunevlseg.search.storages import open_storage
from monai_tunevlseg.search.study import PLAN_VERSION, PRUNERS, STARTUP_TRIALS, check_trials, join_study, run_trials
from monai_tunevlseg.search.trial_queue import TrialQueue, finished_trials
from monai_tunevlseg.search.trials import OBJECTIVES, TrialRunner
from monai_tunevlseg.training import CHECKPOINT

__all__ = ["SearchSettings", "run_search"]

MACHINE_OPTIONS = {  # may differ between workers
    *("num_workers", "cache_rate", "device", "show_progress", "pretrained"),
    *("feature_cache_dir", "feature_cache_size"),
}
TRIAL_OPTIONS = {  # set for each trial
    *("bundle_root", "dataset_dir", "ckpt_dir", "output_dir", "resume", "write_splits_to"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search. Workers of one study must agree on ``objective``, ``seed``, ``fixed`` and ``pruner``.

    Attributes:
        n_trials: number of trials to finish; a higher number later adds trials.
        objective: "val_dice" or "val_loss".
        seed: random seed of the sampler.
        fixed: hyperparameters of every trial, which are not searched.
        search: whether to search the others; False = a trial has those of the configs.
        evaluation: hyperparameters of the test alone; of those that ``evaluate.yaml`` does not have, none is used.
        pruner: "median", "halving" or "hyperband"; None = no pruning, as in the paper.
        storage: URL of the storage, see `open_storage`; None = ``study.db`` (SQLite) in the output folder.
        study_name: name of the study; None = the experiment's name.
        heartbeat_interval: seconds between two heartbeats of a running trial.
        grace_period: seconds without a heartbeat before a trial counts as stale.
        max_failures: number of failed trials in a row after which the worker gives up.
        limits: time limits of a trial and of the test.
        keep: trials that keep their ``model.pt`` after the search, "all" or "best".

    Raises:
        ValueError: when a value is unknown or out of range.
    """

    n_trials: int = 20
    objective: str = "val_dice"
    seed: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    search: bool = True
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    pruner: str | None = None
    storage: str | None = None
    study_name: str | None = None
    heartbeat_interval: float = 30.0
    grace_period: float = 180.0
    max_failures: int = 5
    limits: Limits = Limits()
    keep: str = "all"

    def __post_init__(self) -> None:
        if self.n_trials < 1:
            raise ValueError(f"n_trials is {self.n_trials}; it must be 1 or more.")
        if self.max_failures < 1:
            raise ValueError(f"max_failures is {self.max_failures}; it must be 1 or more.")
        if self.objective not in OBJECTIVES:
            raise ValueError(f"unknown objective {self.objective!r}; known are {', '.join(OBJECTIVES)}.")
        if self.pruner is not None and self.pruner not in PRUNERS:
            raise ValueError(f"unknown pruner {self.pruner!r}; known are {', '.join(PRUNERS)}.")
        if self.keep not in ("all", "best"):
            raise ValueError(f"keep is {self.keep!r}; it must be all or best.")
        if not 0 < self.heartbeat_interval < self.grace_period:
            raise ValueError(
                f"heartbeat_interval is {self.heartbeat_interval}; it must be above 0 and below grace_period "
                f"{self.grace_period}."
            )


def run_search(
    experiment_name: str,
    dataset_dir: str | Path,
    output_dir: str | Path,
    settings: SearchSettings | None,
    configs_dir: str | Path,
    bundles_dir: str | Path,
) -> SearchResult:
    """Search the hyperparameters of an experiment, alone or with other workers, and test the best trial.

    The same call resumes an interrupted search, and joins the search of other workers. Call it in the main thread: the
    process of a trial ends with the thread that started it.

    Args:
        experiment_name: name of the experiment, DATASET/MODEL_METHOD.
        dataset_dir: folder of the dataset.
        output_dir: folder of ``trials/``, ``best.yaml``, ``best/`` (a trained bundle), ``test/`` and ``search.json``.
        settings: settings of the search; None = the paper's.
        configs_dir: folder of the config fragments.
        bundles_dir: folder of the bundles.

    Raises:
        FileNotFoundError: when the dataset, a config or the folder of every trial is missing.
        RemoteFolderError: when all trials have finished and the folder of the best one is on another machine.
        ValueError: when the experiment or a hyperparameter is unknown, the dataset is invalid, the study of this name
            has another plan, or the output folder belongs to another study.
        ConnectionError: when the storage cannot be used.
        RuntimeError: when too many trials in a row, or the test, fail.
        KeyboardInterrupt: when a shutdown is requested; the running trial has ended, and its slot is open again.
    """
    settings = settings or SearchSettings()
    experiment, output = find_experiment(experiment_name, configs_dir, bundles_dir), Path(output_dir).absolute()
    if not experiment.configs("train")[0].is_file():
        raise ValueError(f"{experiment.name} trains nothing, and has no hyperparameters to search.")
    _check_fixed(experiment, settings.fixed)
    output.mkdir(parents=True, exist_ok=True)
    storage = open_storage(settings.storage or f"sqlite:///{output / 'study.db'}")
    data = Path(dataset_dir).expanduser().absolute()
    overrides = {**settings.fixed, "bundle_root": str(experiment.bundle), "dataset_dir": str(data)}
    digest = dataset_digest(experiment, overrides)  # first, because loading the base model takes longer
    base, space = _base_and_space(experiment, overrides, settings, configs_dir)
    plan = _plan(experiment, settings, space, base, digest)
    name = settings.study_name or experiment.name
    reserve_output_folder(output, name)  # after all checks of the command
    study = join_study(storage, name, plan, settings.pruner)
    with GracefulShutdown() as shutdown:
        _run_trials(study, settings, space, partial(_trial_command, experiment, overrides), output / TRIALS, shutdown)
        with shutdown.holding(FileLock(output / ".finish.lock")):  # several workers may finish at the same time
            result = _finish(study, experiment, plan, overrides, output, settings, shutdown)
            remove_unneeded_files(output, study, [result.best.number] if settings.keep == "best" else None)
            return result


def _run_trials(
    study: optuna.Study,
    settings: SearchSettings,
    space: SearchSpace,
    command: Callable[[Path, Mapping[str, Any]], list[str]],
    folder: Path,
    shutdown: GracefulShutdown,
) -> None:
    queue = TrialQueue(study, settings.n_trials, space.keys(), settings.heartbeat_interval, settings.grace_period)
    prune = settings.pruner is not None
    runner = TrialRunner(queue, space, settings.objective, folder, command, shutdown, prune, settings.limits)
    run_trials(queue, runner, settings.seed, settings.max_failures)


def _base_and_space(
    experiment: Experiment, overrides: Mapping[str, Any], settings: SearchSettings, configs_dir: str | Path
) -> tuple[BaseModelInfo, SearchSpace]:
    """Return the base model, and the search space without the fixed hyperparameters."""
    base = describe_base_model(experiment, overrides)
    if not is_off(settings.fixed.get("feature_cache")):
        check_constant(build_network(experiment, {**overrides, **experiment.known("train", {"prompt_depth": 1})}))
    space = read_search_space(configs_dir, experiment.method, experiment.flat_values("train").keys(), base.sizes)
    space = {name: dimension for name, dimension in space.items() if name not in settings.fixed}
    if not settings.search:
        return base, {}
    if not space:
        raise ValueError(f"{experiment.name} has no hyperparameter left to search; fix fewer.")
    for name, dimension in space.items():
        logger.info(f"{experiment.name} searches {name}: {dimension.describe()}")
    return base, space


def _trial_command(
    experiment: Experiment, overrides: Mapping[str, Any], folder: Path, params: Mapping[str, Any]
) -> list[str]:
    """Return the command for the folder and the hyperparameters of a trial, and write its config."""
    own = {"ckpt_dir": str(folder / "models"), "output_dir": str(folder / "eval"), "show_progress": False}
    values = {**overrides, **params, **own}
    parser = read_experiment_config(experiment, "train", values)
    parser.export_config_file(parser.get(), str(folder / "config.yaml"), fmt="yaml", sort_keys=False)
    return bundle_command(experiment.configs("train"), values)


def _check_fixed(experiment: Experiment, fixed: Mapping[str, Any]) -> None:
    known = experiment.flat_values("train")
    for name, value in fixed.items():
        if name in TRIAL_OPTIONS:
            raise ValueError(f"{name} cannot be fixed, because it is set for each trial.")
        if name not in known:
            raise ValueError(
                f"the bundle of {experiment.name} has no hyperparameter {name!r}; it has {', '.join(known)}."
            )
        if name in hyperparameter_types():
            parse_hyperparameter(name, value)


def _plan(
    experiment: Experiment, settings: SearchSettings, space: SearchSpace, base: BaseModelInfo, data: str
) -> dict[str, Any]:
    """Return the values on which all workers of the study must agree."""
    return {
        "version": PLAN_VERSION,
        "experiment": experiment.name,
        "objective": settings.objective,
        "seed": settings.seed,
        "startup_trials": STARTUP_TRIALS,
        "pruner": settings.pruner,
        "fixed": {name: value for name, value in settings.fixed.items() if name not in MACHINE_OPTIONS},
        "space": {name: distribution_to_json(dimension.distribution) for name, dimension in space.items()},
        "scaled": {n: d.describe() for n, d in space.items() if d.distribution != d.published},
        "base": base.fingerprint,
        "data": data,
    }


def _finish(
    study: optuna.Study,
    experiment: Experiment,
    plan: dict[str, Any],
    overrides: Mapping[str, Any],
    output: Path,
    settings: SearchSettings,
    shutdown: GracefulShutdown,
) -> SearchResult:
    """Choose the best trial, test it unless it is tested already, and write the results."""
    check_trials(study, plan)
    best, problems = choose_best(finished_trials(study), plan["objective"], output)
    for problem in problems:
        logger.warning(f"{problem}; this trial is not considered")
    trials = trial_results(study, output)
    chosen = next(trial for trial in trials if trial.number == best.number)
    checkpoint = find_trial_folder(best, output) / CHECKPOINT
    values = {**plan["fixed"], **best.params}
    tested_before = _tested_before(output, study.study_name, best.number, settings.evaluation)
    if tested_before is not None:
        metrics, test_seconds = tested_before.metrics, tested_before.test_seconds
    else:
        logger.info(f"testing the best trial, {best.number}, with {plan['objective']} {best.value:.4f}")
        shutil.rmtree(output / "test", ignore_errors=True)
        tested = {**overrides, **best.params, **settings.evaluation}
        data, started = overrides["dataset_dir"], time.monotonic()
        metrics = evaluate_checkpoint(experiment, data, output / "test", checkpoint, tested, shutdown, settings.limits)
        test_seconds = round(time.monotonic() - started, 3)
    write_overlay(output / "best.yaml", experiment, values)
    write_trained_bundle(output / "best", experiment, values, checkpoint)
    evaluation = dict(settings.evaluation)
    result = SearchResult(
        experiment.name, study.study_name, plan, chosen, trials, metrics, test_seconds, problems, evaluation
    )
    write_search_result(output, result)
    return result


def _tested_before(output: Path, study: str, number: int, evaluation: Mapping[str, Any]) -> SearchResult | None:
    """Return the earlier result of the search when this trial has been tested like that already; else None."""
    if not (output / SEARCH_FILE).is_file():
        return None
    try:
        before = read_search_result(output)
    except ValueError as error:
        logger.warning(f"{error} The best trial is tested again.")
        return None
    same = (before.study, before.best.number, before.evaluation) == (study, number, dict(evaluation))
    return before if same and (output / "test" / "metrics.json").is_file() else None
