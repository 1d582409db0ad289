"""Running one entry: its sweep, its test, and what is stored of both."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from monai_tunevlseg.atomic_files import remove_unfinished
from monai_tunevlseg.benchmark.entries import VARIANTS, ZERO_SHOT, Entry
from monai_tunevlseg.benchmark.planning import titles_of
from monai_tunevlseg.benchmark.results import (
    FORMAT_VERSION,
    METRICS,
    StoredTrial,
    read_result,
    write_json,
    write_trials,
)
from monai_tunevlseg.benchmark.samples import choose_cases, store_embeddings, store_pictures, store_predictions
from monai_tunevlseg.evaluation import read_cases, write_cases
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.search import (
    Experiment,
    Limits,
    SearchResult,
    SearchSettings,
    TrialResult,
    evaluate,
    find_experiment,
    run_search,
)
from monai_tunevlseg.training import CHECKPOINT

__all__ = ["BenchmarkSettings", "EntryRunner", "entry_lock"]

PACKAGES = ("monai_tunevlseg", "monai", "numpy", "optuna", "torch", "transformers")
SPARE = {"save_masks": "false", "num_overlays": 0, "bootstrap_resamples": 99}  # of a test that only gives means

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BenchmarkSettings:
    """How a benchmark is run.

    Attributes:
        n_trials: number of trials of each sweep.
        objective: what trials are chosen by, ``val_dice`` or ``val_loss``, on validation data.
        seed: of the sampler.
        fixed: hyperparameters that every run gets whose bundle has them.
        best_only: test the chosen trials alone; Figures 5 to 7 have nothing to show then.
        storage: address of the studies' storage; None = a SQLite file in each entry's folder. A matter of the worker.
        limits: when a run counts as hanging. A matter of the worker.

    Raises:
        ValueError: when there are less than 1 trials, or the objective is unknown.
    """

    n_trials: int = 20
    objective: str = "val_dice"
    seed: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    best_only: bool = False
    storage: str | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        SearchSettings(n_trials=self.n_trials, objective=self.objective)  # which knows what they may be

    def stored(self) -> dict[str, Any]:
        """Return what is written down: all but what is a matter of the worker."""
        return {
            "n_trials": self.n_trials,
            "objective": self.objective,
            "seed": self.seed,
            "fixed": dict(self.fixed),
            "best_only": self.best_only,
        }


def entry_lock(results_dir: Path, entry: Entry) -> FileLock:
    """Return the lock of an entry's folder; whoever holds it finishes the entry."""
    folder = results_dir / entry.name
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")


class EntryRunner:
    """Runs entries of a benchmark.

    Args:
        results_dir: gets a folder for each entry.
        data_root: has a folder for each dataset.
        settings: of the benchmark.
        configs_dir: the folder of the fragments.
        bundles_dir: the folder of the bundles.
    """

    def __init__(
        self,
        results_dir: Path,
        data_root: Path,
        settings: BenchmarkSettings,
        configs_dir: Path,
        bundles_dir: Path,
    ) -> None:
        self.results_dir = results_dir
        self.data_root = data_root
        self.settings = settings
        self.configs_dir = configs_dir
        self.bundles_dir = bundles_dir

    def finished_seconds(self, entry: Entry) -> float | None:
        """Return how long a finished entry has taken; None when it is not finished with these settings."""
        try:
            facts = read_result(self.results_dir / entry.name).facts
        except (OSError, ValueError):
            return None  # it is run again, from what its sweep has kept
        return float(facts["seconds"]["total"]) if self._is_enough(entry, facts["settings"]) else None

    def _is_enough(self, entry: Entry, stored: Mapping[str, Any]) -> bool:
        """Return whether what was run with other settings is at least what these ask for."""
        wanted = self.settings.stored()
        if entry.method == ZERO_SHOT:
            return bool(stored.get("fixed") == wanted["fixed"])
        same = all(stored.get(name) == wanted[name] for name in ("objective", "seed", "fixed"))
        tested = self.settings.best_only or not stored.get("best_only")
        return same and tested and int(stored.get("n_trials", 0)) >= self.settings.n_trials

    def sweep(self, entry: Entry) -> None:
        """Run trials of an entry until all have finished, together with whoever else does."""
        if entry.method != ZERO_SHOT:
            self._search(entry)

    def run(self, entry: Entry) -> None:
        """Run an entry to its end, and store it; continues what was interrupted."""
        folder = self.results_dir / entry.name
        started = time.monotonic()
        experiment = find_experiment(entry.experiment, self.configs_dir, self.bundles_dir)
        if entry.method == ZERO_SHOT:
            report = folder / "sweep" / "test"
            self._evaluate(entry, experiment, report, None, self._overrides(entry))
            self._store(entry, experiment, None, [], [], time.monotonic() - started)
            return
        search = self._search(entry)
        started = time.monotonic()  # the trials have their own times
        trials, problems = self._tested_trials(entry, experiment, search)
        self._store(entry, experiment, search, trials, problems, time.monotonic() - started)

    def _search(self, entry: Entry) -> SearchResult:
        fixed = {name: value for name, value in self._overrides(entry).items() if name != "dataset_dir"}
        settings = SearchSettings(
            n_trials=self.settings.n_trials,
            objective=self.settings.objective,
            seed=self.settings.seed,
            fixed=fixed,
            storage=self.settings.storage,
            limits=self.settings.limits,
            study_name=entry.name,
        )
        folder = self.results_dir / entry.name / "sweep"
        return run_search(entry.experiment, self._dataset(entry), folder, settings, self.configs_dir, self.bundles_dir)

    def _dataset(self, entry: Entry) -> Path:
        return (self.data_root / entry.dataset).expanduser().absolute()

    def _overrides(self, entry: Entry) -> dict[str, Any]:
        variant = VARIANTS[entry.variant] if entry.variant else None
        changed = {} if variant is None else {variant.override: variant.value}
        experiment = find_experiment(entry.experiment, self.configs_dir, self.bundles_dir)
        fixed = experiment.known("train", self.settings.fixed)  # fine-tuning has no prompt depth
        return {**fixed, **changed, "dataset_dir": str(self._dataset(entry))}

    def _tested_trials(
        self, entry: Entry, experiment: Experiment, search: SearchResult
    ) -> tuple[list[StoredTrial], list[str]]:
        """Test the trials that were not chosen, for the figures: the choice is made and stays."""
        trials, problems = [], list(search.problems)
        for trial in search.trials:
            test: Mapping[str, Any] = {}
            if trial.number == search.best.number:
                test = search.metrics
            elif trial.state == "COMPLETE" and not self.settings.best_only:
                try:
                    test = self._tested(entry, experiment, trial)
                except (OSError, RuntimeError, ValueError) as error:
                    problems.append(f"trial {trial.slot} could not be tested: {error}")
            elif trial.state == "FAIL":
                problems.append(f"trial {trial.slot} failed: {trial.reason}")
            trials.append(_stored_trial(trial, test))
        return trials, problems

    def _tested(self, entry: Entry, experiment: Experiment, trial: TrialResult) -> dict[str, Any]:
        checkpoint = Path(str(trial.folder)) / CHECKPOINT
        if not checkpoint.is_file():
            raise FileNotFoundError(f"{checkpoint} is missing.")
        output = self.results_dir / entry.name / "sweep" / "tests" / f"{trial.number:04d}"
        done = output / "metrics.json"
        if done.is_file() and done.stat().st_mtime >= checkpoint.stat().st_mtime:
            return read_json_object(done)
        overrides = {**self._overrides(entry), **trial.params, **SPARE}
        return self._evaluate(entry, experiment, output, checkpoint, overrides)

    def _evaluate(
        self, entry: Entry, experiment: Experiment, output: Path, checkpoint: Path | None, overrides: Mapping[str, Any]
    ) -> dict[str, Any]:
        return evaluate(experiment, self._dataset(entry), output, checkpoint, overrides, limits=self.settings.limits)

    def _store(
        self,
        entry: Entry,
        experiment: Experiment,
        search: SearchResult | None,
        trials: list[StoredTrial],
        problems: list[str],
        seconds: float,
    ) -> None:
        """Write all that the report needs; ``result.json`` last. Hold the entry's lock."""
        folder, report = self.results_dir / entry.name, self.results_dir / entry.name / "sweep" / "test"
        for name in ("cases.csv", "metrics.json", "trials.csv", "result.json", "failure.json"):
            remove_unfinished(folder / name)  # of a worker that was killed
        titles, prompts = titles_of(self.configs_dir, entry)
        overrides = self._overrides(entry)
        cases = read_cases(report)
        chosen = choose_cases(cases)
        store_predictions(folder / "predictions", report, chosen)
        store_pictures(self.results_dir / "pictures" / entry.dataset, experiment, overrides, chosen)
        embeddings = self.results_dir / "embeddings" / entry.model / f"{entry.dataset}.npz"
        if not embeddings.is_file():
            store_embeddings(embeddings, entry, titles["model"], experiment, overrides)
        write_cases(folder / "cases.csv", [replace(case, mask=None) for case in cases])
        metrics = read_json_object(report / "metrics.json")
        write_json(folder / "metrics.json", metrics)
        if search is not None:
            write_trials(folder / "trials.csv", trials)
        settings = self.settings.stored()
        facts = _facts(entry, titles, prompts, settings, search, metrics["network"], problems, seconds)
        write_json(folder / "result.json", facts)
        (folder / "failure.json").unlink(missing_ok=True)


def _stored_trial(trial: TrialResult, test: Mapping[str, Any]) -> StoredTrial:
    """Return a trial as it is stored, by its slot, which interruptions do not change."""
    measured = {name: float(test[name]) for name in METRICS if test.get(name) is not None}
    return StoredTrial(trial.slot, trial.state, trial.value, trial.seconds, measured, trial.params)


def _facts(
    entry: Entry,
    titles: Mapping[str, str],
    prompts: list[str],
    settings: Mapping[str, Any],
    search: SearchResult | None,
    network: Mapping[str, Any],
    problems: list[str],
    seconds: float,
) -> dict[str, Any]:
    selection, hyperparameters, checkpoint, best_seconds, memory = None, {}, 0, None, None
    if search is not None:
        best = search.best
        finished = sum(trial.state == "COMPLETE" for trial in search.trials)
        value = float(best.value or 0)
        selection = {"metric": search.plan["objective"], "value": value, "trial": best.slot, "finished": finished}
        hyperparameters = {**search.plan["fixed"], **best.params}
        checkpoint = (Path(str(best.folder)) / CHECKPOINT).stat().st_size
        best_seconds, memory = best.seconds, best.peak_memory_bytes or None
        seconds += sum(trial.seconds or 0 for trial in search.trials)
    return {
        "format_version": FORMAT_VERSION,
        "dataset": entry.dataset,
        "model": entry.model,
        "method": entry.method,
        "variant": entry.variant,
        "titles": dict(titles),
        "prompts": prompts,
        "seed": settings["seed"],
        "settings": dict(settings),
        "selection": selection,
        "hyperparameters": hyperparameters,
        "trained_parameters": network["trained_parameters"] if search is not None else 0,
        "checkpoint_bytes": checkpoint,
        "seconds": {"trial": best_seconds, "total": round(seconds, 3)},
        "peak_memory_bytes": memory,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {package: version(package) for package in PACKAGES},
        "problems": problems,
    }
