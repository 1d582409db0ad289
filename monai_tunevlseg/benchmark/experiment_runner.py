"""Running one experiment: search, test, and storage of the results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from monai_tunevlseg.atomic_files import remove_unfinished
from monai_tunevlseg.benchmark.artifacts import (
    choose_examples,
    read_test_samples,
    saved_masks,
    store_embeddings,
    store_examples,
    store_predictions,
)
from monai_tunevlseg.benchmark.experiment_selection import titles_of
from monai_tunevlseg.benchmark.experiment_spec import VARIANTS, ExperimentSpec
from monai_tunevlseg.benchmark.results_folder import (
    FAILURE_FILE,
    FORMAT_VERSION,
    METRICS,
    StoredTrial,
    read_result,
    write_json,
    write_trials,
)
from monai_tunevlseg.benchmark.settings import BenchmarkFolders, BenchmarkSettings
from monai_tunevlseg.calibration import read_calibration
from monai_tunevlseg.data import group_by_image, with_absent_texts
from monai_tunevlseg.errors import unwrapped_errors
from monai_tunevlseg.evaluation import (
    ABSENT_PAIRS,
    read_absent_pairs,
    read_pair_scores,
    write_absent_pairs,
    write_pair_scores,
)
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS
from monai_tunevlseg.search import (
    Experiment,
    SearchResult,
    SearchSettings,
    TrialResult,
    evaluate_checkpoint,
    find_experiment,
    run_search,
)
from monai_tunevlseg.search.experiments import read_experiment_config
from monai_tunevlseg.training import CHECKPOINT

__all__ = ["ExperimentRunner"]

PACKAGES = ("monai_tunevlseg", "monai", "numpy", "optuna", "torch", "transformers")
SCORES_ONLY = {"save_masks": "false", "num_overlays": 0, "bootstrap_resamples": 99}  # of trials that were not selected


class ExperimentRunner:
    """Runs experiments of a benchmark.

    Args:
        folders: folders of the benchmark.
        settings: settings of the benchmark.
    """

    def __init__(self, folders: BenchmarkFolders, settings: BenchmarkSettings) -> None:
        self.folders = folders
        self.settings = settings

    def finished_seconds(self, spec: ExperimentSpec) -> float | None:
        """Return the seconds of a finished experiment; None if it is not finished with these settings."""
        try:
            facts = read_result(self.folders.results / spec.name).facts
        except (OSError, ValueError):
            return None  # it runs again, and its search resumes
        covered = facts["settings"] is not None and self._covers_settings(spec, facts["settings"])
        return float(facts["seconds"]["total"]) if covered else None

    def _covers_settings(self, spec: ExperimentSpec, stored: Mapping[str, Any]) -> bool:
        """Return whether results with the stored settings include those of the current settings."""
        current = self.settings.stored()
        if any(stored.get(name) != value for name, value in self.settings.evaluation.items()):
            return False
        if not spec.trains:
            return bool(stored.get("fixed") == current["fixed"])
        same = all(stored.get(name) == current[name] for name in ("objective", "seed", "fixed"))
        tested = self.settings.best_only or not stored.get("best_only")
        return same and tested and int(stored.get("n_trials", 0)) >= self.settings.n_trials

    def run_trials(self, spec: ExperimentSpec) -> None:
        """Run trials of an experiment until all are finished, together with other workers."""
        if spec.trains:
            self._search(spec)

    def run(self, spec: ExperimentSpec) -> None:
        """Run an experiment and store its results; resumes after an interruption."""
        folder = self.folders.results / spec.name
        started = time.monotonic()
        experiment = find_experiment(spec.experiment, self.folders.configs, self.folders.bundles)
        self._check_texts(spec, experiment)
        if not spec.trains:
            report = folder / "search" / "test"
            self._evaluate(spec, experiment, report, None, self._overrides(spec) | self.settings.evaluation)
            self._store(spec, experiment, None, [], [], time.monotonic() - started)
            return
        search = self._search(spec)
        started = time.monotonic()  # the search measures the times of its trials and of the test of the best one
        trials, problems = self._test_trials(spec, experiment, search)
        self._store(spec, experiment, search, trials, problems, time.monotonic() - started)

    def _check_texts(self, spec: ExperimentSpec, experiment: Experiment) -> None:
        """Refuse texts of the tests that do not suit the dataset before the training, and not in the test after it."""
        if not experiment.known("evaluate", self.settings.evaluation):
            return
        overrides = experiment.known("evaluate", self._overrides(spec) | self.settings.evaluation)
        parser = read_experiment_config(experiment, "evaluate", overrides)
        with unwrapped_errors():  # of the compared texts, which are a part of the datalists
            datalists, of_dataset = (parser.get_parsed_content(name) for name in ("datalists", "dataset_spec"))
        with_absent_texts(group_by_image(datalists["test"]), self.settings.absent_texts, of_dataset, datalists)

    def _search(self, spec: ExperimentSpec) -> SearchResult:
        """Search the hyperparameters of an experiment; with shots or a seed, train with those of the search without."""
        if spec == spec.searched or not self.settings.n_trials:
            return self._run_trials(spec, self.settings.n_trials, {})
        searched = self._run_trials(spec.searched, self.settings.n_trials, {})
        return self._run_trials(spec, 0, searched.best.params)

    def _run_trials(self, spec: ExperimentSpec, n_trials: int, params: Mapping[str, Any]) -> SearchResult:
        overrides = {**self._overrides(spec), **params}
        fixed = {name: value for name, value in overrides.items() if name != "dataset_dir"}
        settings = SearchSettings(
            n_trials=n_trials or 1,
            search=n_trials > 0,
            objective=self.settings.objective,
            seed=self.settings.seed,
            fixed=fixed,
            evaluation=self.settings.evaluation,
            storage=self.settings.storage,
            limits=self.settings.limits,
            study_name=spec.name,
        )
        folder = self.folders.results / spec.name / "search"
        return run_search(
            spec.experiment,
            self.folders.dataset(spec.dataset),
            folder,
            settings,
            self.folders.configs,
            self.folders.bundles,
        )

    def _overrides(self, spec: ExperimentSpec) -> dict[str, Any]:
        changed = VARIANTS[spec.variant].changes(self.folders.configs) if spec.variant else {}
        experiment = find_experiment(spec.experiment, self.folders.configs, self.folders.bundles)
        fixed = experiment.known(spec.config, self.settings.fixed)  # some bundles do not have all of them
        return {**fixed, **changed, **spec.run_hyperparameters, "dataset_dir": str(self.folders.dataset(spec.dataset))}

    def _test_trials(
        self, spec: ExperimentSpec, experiment: Experiment, search: SearchResult
    ) -> tuple[list[StoredTrial], list[str]]:
        """Test all finished trials for the figures, after the best one was selected."""
        trials, problems = [], list(search.problems)
        for trial in search.trials:
            test: Mapping[str, Any] = {}
            if trial.number == search.best.number:
                test = search.metrics
            elif trial.state == "COMPLETE" and not self.settings.best_only:
                try:
                    test = self._test(spec, experiment, trial)
                except (OSError, RuntimeError, ValueError) as error:
                    problems.append(f"testing trial {trial.slot} failed: {error}")
            elif trial.state == "FAIL":
                problems.append(f"trial {trial.slot} failed: {trial.reason}")
            trials.append(_stored_trial(trial, test))
        return trials, problems

    def _test(self, spec: ExperimentSpec, experiment: Experiment, trial: TrialResult) -> dict[str, Any]:
        checkpoint = Path(str(trial.folder)) / CHECKPOINT
        if not checkpoint.is_file():
            raise FileNotFoundError(f"{checkpoint} is missing.")
        output = self.folders.results / spec.name / "search" / "tests" / f"{trial.number:04d}"
        metrics = output / "metrics.json"
        if metrics.is_file() and metrics.stat().st_mtime >= checkpoint.stat().st_mtime:
            return read_json_object(metrics)
        overrides = {**self._overrides(spec), **trial.params, **SCORES_ONLY}
        return self._evaluate(spec, experiment, output, checkpoint, overrides)

    def _evaluate(
        self,
        spec: ExperimentSpec,
        experiment: Experiment,
        output: Path,
        checkpoint: Path | None,
        overrides: Mapping[str, Any],
    ) -> dict[str, Any]:
        return evaluate_checkpoint(
            experiment, self.folders.dataset(spec.dataset), output, checkpoint, overrides, limits=self.settings.limits
        )

    def _store(
        self,
        spec: ExperimentSpec,
        experiment: Experiment,
        search: SearchResult | None,
        trials: list[StoredTrial],
        problems: list[str],
        seconds: float,
    ) -> None:
        """Write the files that the report reads, ``result.json`` last. The caller holds the experiment's lock."""
        folder, report = self.folders.results / spec.name, self.folders.results / spec.name / "search" / "test"
        for name in ("pairs.csv", ABSENT_PAIRS, "metrics.json", "trials.csv", "result.json", FAILURE_FILE):
            remove_unfinished(folder / name)  # from a worker that was killed
        titles, prompts = titles_of(self.folders.configs, spec)
        overrides = experiment.known("evaluate", self._overrides(spec))
        pairs = read_pair_scores(report)
        examples = choose_examples(pairs)
        store_predictions(folder / "predictions", saved_masks(report, examples))
        shown = self.folders.results / "examples" / spec.dataset
        if not (shown / "examples.json").is_file():
            store_examples(shown, read_test_samples(experiment, overrides), examples)
        embeddings = self.folders.results / "embeddings" / spec.model / f"{spec.dataset}.npz"
        if spec.model not in IMAGE_ONLY_NETWORKS and not embeddings.is_file():
            store_embeddings(embeddings, spec, titles["model"], experiment, overrides)
        write_pair_scores(folder / "pairs.csv", [replace(pair, mask=None) for pair in pairs])
        (folder / ABSENT_PAIRS).unlink(missing_ok=True)
        if (absent := report / ABSENT_PAIRS).is_file():
            write_absent_pairs(folder / ABSENT_PAIRS, read_absent_pairs(absent))
        metrics = read_json_object(report / "metrics.json")
        write_json(folder / "metrics.json", metrics)
        if search is not None:
            write_trials(folder / "trials.csv", trials)
        settings = self.settings.stored()
        facts = _facts(spec, titles, prompts, settings, search, metrics["network"], problems, seconds)
        write_json(folder / "result.json", facts)
        (folder / FAILURE_FILE).unlink(missing_ok=True)


def _stored_trial(trial: TrialResult, test: Mapping[str, Any]) -> StoredTrial:
    """Return a trial for ``trials.csv``, numbered by its slot, which interruptions do not change."""
    measured = {name: float(test[name]) for name in METRICS if test.get(name) is not None}
    return StoredTrial(trial.slot, trial.state, trial.value, trial.seconds, measured, trial.params)


def _trained_facts(search: SearchResult | None) -> dict[str, Any]:
    """Return the facts of the best trial and its checkpoint; those of no training without a search."""
    if search is None:
        return {
            "training_images": 0,
            "selection": None,
            "hyperparameters": {},
            "checkpoint_bytes": 0,
            "calibration": None,
        }
    folder = Path(str(search.best.folder))
    checkpoint = folder / CHECKPOINT
    calibration = read_calibration(checkpoint)
    return {
        "training_images": _count_training_images(folder),
        "selection": _selection(search),
        "hyperparameters": {**search.plan["fixed"], **search.best.params},
        "checkpoint_bytes": checkpoint.stat().st_size,
        "calibration": None if calibration is None else asdict(calibration),
    }


def _count_training_images(folder: Path) -> int | None:
    """Return the number of images that a run was trained with; None if a hyperparameter kept it from writing splits."""
    splits = folder / "eval" / "splits.json"
    return len(read_json_object(splits)["train"]) if splits.is_file() else None


def _selection(search: SearchResult) -> dict[str, Any]:
    finished = sum(trial.state == "COMPLETE" for trial in search.trials)
    value = float(search.best.value or 0)
    return {"metric": search.plan["objective"], "value": value, "trial": search.best.slot, "finished": finished}


def _facts(
    spec: ExperimentSpec,
    titles: Mapping[str, str],
    prompts: list[str],
    settings: Mapping[str, Any],
    search: SearchResult | None,
    network: Mapping[str, Any],
    problems: list[str],
    seconds: float,
) -> dict[str, Any]:
    best = search.best if search is not None else None
    if search is not None:
        seconds += search.test_seconds + sum(trial.seconds or 0 for trial in search.trials)
    return {
        "format_version": FORMAT_VERSION,
        "dataset": spec.dataset,
        "model": spec.model,
        "method": spec.method,
        "variant": spec.variant,
        "titles": dict(titles),
        "group": spec.group,
        "prompts": prompts,
        "seed": settings["seed"],
        "training_seed": spec.seed,
        "num_shots": spec.num_shots,
        "searched": spec.searched.name if search is not None and settings["n_trials"] else None,
        "settings": dict(settings),
        **_trained_facts(search),
        "trained_parameters": network["trained_parameters"] if search is not None else 0,
        "seconds": {
            "step": best and best.seconds_per_step,
            "trial": best and best.seconds,
            "total": round(seconds, 3),
        },
        "peak_memory_bytes": best and best.peak_memory_bytes,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {package: version(package) for package in PACKAGES},
        "problems": problems,
    }
