"""The results folder, which ``benchmark`` writes and ``report`` reads; ``README.md`` in this package describes it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.benchmark.experiment_spec import VARIANTS, ExperimentSpec, Group
from monai_tunevlseg.csv_files import read_csv, write_csv
from monai_tunevlseg.evaluation.report_handler import FORMAT_VERSION as METRICS_VERSION
from monai_tunevlseg.json_files import read_json_object, schema_violation

__all__ = [
    "FAILURE_FILE",
    "FORMAT_VERSION",
    "METRICS",
    "PLAN_FILE",
    "BenchmarkResults",
    "ExperimentResult",
    "Metric",
    "ReportProblem",
    "StoredTrial",
    "failure_message",
    "read_result",
    "read_results",
    "write_json",
    "write_trials",
]

FORMAT_VERSION = 1
PLAN_FILE, FAILURE_FILE = "benchmark.json", "failure.json"
RATES = ("learning_rate", "weight_decay")  # not negative
FIXED_COLUMNS = ("number", "state", "validation", "seconds")
TEST_PREFIX = "test_"


@dataclass(frozen=True)
class Metric:
    """One way to average Dice.

    Attributes:
        name: key in ``metrics.json``.
        title: title in the report.
        score: column of ``pairs.csv`` that it averages.
        foreground_only: whether pairs with an empty mask are excluded.
    """

    name: str
    title: str
    score: str
    foreground_only: bool


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("dice", "Dice over all pairs, at the model's resolution", "dice", False),
        Metric("dice_foreground", "Dice over pairs with foreground, at the model's resolution", "dice", True),
        Metric("dice_original", "Dice over all pairs, at the image's own resolution", "dice_original", False),
        Metric(
            "dice_original_foreground",
            "Dice over pairs with foreground, at the image's own resolution",
            "dice_original",
            True,
        ),
    )
}
"""The metrics of a report. An empty prediction on an empty mask scores 100."""


@dataclass(frozen=True)
class ReportProblem:
    """A missing or unusable part of the results.

    Attributes:
        place: experiment or file, relative to the results folder.
        message: the problem.
    """

    place: str
    message: str


@dataclass(frozen=True)
class StoredTrial:
    """One trial of a search.

    Attributes:
        number: number of the trial in its study.
        state: Optuna's state, such as ``COMPLETE``.
        validation: value of the objective on validation data; None if the trial ended before.
        seconds: wall time.
        test: scores on the test split by name in ``METRICS``, measured after the selection; empty if not tested.
        hyperparameters: hyperparameters of the trial; numbers are floats.
    """

    number: int
    state: str
    validation: float | None
    seconds: float | None
    test: Mapping[str, float]
    hyperparameters: Mapping[str, float | str]


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """The stored results of one experiment.

    Attributes:
        spec: the experiment.
        folder: its folder; ``pairs.csv`` and ``predictions/`` are read on demand.
        facts: content of ``result.json``.
        metrics: content of ``metrics.json``.
        trials: content of ``trials.csv``.
    """

    spec: ExperimentSpec
    folder: Path
    facts: Mapping[str, Any]
    metrics: Mapping[str, Any]
    trials: Sequence[StoredTrial] = ()

    @property
    def title(self) -> str:
        """Titles of model and method, with the variant."""
        return f"{self.facts['titles']['model']} {self.method_title}"

    @property
    def method_title(self) -> str:
        """Title of the method, with the variant."""
        title: str = self.facts["titles"]["method"]
        return VARIANTS[self.spec.variant].title.format(method=title) if self.spec.variant else title

    @property
    def at_model_resolution(self) -> bool:
        """Whether it has scores at a model's resolution; the masks of another tool have none."""
        return self.metrics.get("dice") is not None

    @property
    def class_names(self) -> list[str]:
        """Names of the classes with a summary, in the order of ``metrics.json``."""
        classes = self.metrics.get("classes")
        return list(classes) if isinstance(classes, Mapping) else []

    def summary(self, class_name: str | None = None) -> Mapping[str, Any]:
        """Return the summary of all pairs or of a class; empty if it has none."""
        if class_name is None:
            return self.metrics
        summary = self.metrics["classes"].get(class_name) if class_name in self.class_names else None
        return summary if isinstance(summary, Mapping) else {}

    def score(self, metric: str, class_name: str | None = None) -> float | None:
        """Return one of ``METRICS`` on the test split, over all pairs or those of a class, in percent."""
        value = self.summary(class_name).get(metric)
        return float(value) if isinstance(value, int | float) and 0 <= value <= 100 else None


@dataclass
class BenchmarkResults:
    """The content of a results folder.

    Attributes:
        folder: the folder.
        experiments: results of the readable experiments.
        problems: everything else.
    """

    folder: Path
    experiments: list[ExperimentResult] = field(default_factory=list)
    problems: list[ReportProblem] = field(default_factory=list)


def read_results(folder: str | Path) -> BenchmarkResults:
    """Read all experiments; damaged, unfinished and those of another format version become problems.

    Raises:
        FileNotFoundError: when the folder does not exist or holds no results.
    """
    folder = Path(folder)
    places = sorted({path.parent for name in ("result.json", FAILURE_FILE) for path in folder.glob(f"*/*/{name}")})
    plan = _read_plan(folder)
    if not places and not plan:
        raise FileNotFoundError(
            f"no results in {folder}: `tunevlseg benchmark` writes DATASET/MODEL_METHOD/result.json."
        )
    results = BenchmarkResults(folder)
    for place in places:
        _read_place(results, place)
    known = {place.relative_to(folder).as_posix() for place in places}
    results.problems += [ReportProblem(name, "not finished.") for name in plan if name not in known]
    return results


def _read_place(results: BenchmarkResults, place: Path) -> None:
    name = place.relative_to(results.folder).as_posix()
    failure = place / FAILURE_FILE
    try:
        if (place / "result.json").is_file():
            results.experiments.append(read_result(place, results.problems))
        elif failure.is_file():
            results.problems.append(ReportProblem(name, failure_message(failure)))
    except (OSError, ValueError) as error:
        results.problems.append(ReportProblem(name, str(error).replace(f"{place}/", "")))


def failure_message(path: Path) -> str:
    """Return what a ``failure.json`` says.

    Raises:
        ValueError: when the file is damaged.
    """
    return f"failed: {read_json_object(path).get('message', 'no message')}"


def _read_plan(folder: Path) -> list[str]:
    """Return the names of the planned experiments; none without a readable plan."""
    path = folder / PLAN_FILE
    if not path.is_file():
        return []
    try:
        names = read_json_object(path).get("experiments")
    except (OSError, ValueError):
        return []  # only used to name missing results
    return [] if not isinstance(names, list) else [name for name in names if isinstance(name, str)]


def read_result(folder: Path, problems: list[ReportProblem] | None = None) -> ExperimentResult:
    """Read one experiment.

    Args:
        folder: ``RESULTS/DATASET/MODEL_METHOD``.
        problems: receives damaged trials and the problems that ``result.json`` lists.

    Raises:
        FileNotFoundError: when ``result.json`` or ``metrics.json`` is missing.
        ValueError: when a file is damaged, has another format version or belongs to another experiment.
    """
    problems = [] if problems is None else problems
    name = f"{folder.parent.name}/{folder.name}"
    facts = read_json_object(folder / "result.json")
    _check_version(facts, FORMAT_VERSION, "result.json")
    if wrong := schema_violation(facts, _schema("result")):
        raise ValueError(f"result.json is damaged: {wrong}.")
    if not _is_finite(facts):
        raise ValueError("result.json is damaged: it holds a number that is infinite, NaN or too large.")
    names = {key: facts[key] for key in ("dataset", "model", "method", "variant")}
    names |= {"num_shots": facts.get("num_shots"), "seed": facts.get("training_seed")}
    spec = ExperimentSpec(**names, group=Group(facts["group"]))
    if spec.name != name:
        raise ValueError(f"result.json belongs to {spec.name}.")
    metrics = read_json_object(folder / "metrics.json")
    _check_version(metrics, METRICS_VERSION, "metrics.json")
    _check_scores(metrics)
    problems += [ReportProblem(name, message) for message in (*facts["problems"], *_remove_damaged(metrics))]
    return ExperimentResult(
        spec,
        folder,
        facts,
        metrics,
        _read_trials(folder / "trials.csv", name, facts["selection"] is not None, problems),
    )


def _is_finite(value: Any) -> bool:
    """Return whether all numbers in JSON are finite and fit a float, which Python's parser does not check."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, int | float) or abs(value) <= sys.float_info.max


@cache
def _schema(name: str) -> dict[str, Any]:
    return read_json_object(Path(__file__).parent / f"{name}.schema.json")


def _check_version(content: Mapping[str, Any], expected: int, file: str) -> None:
    version = content.get("format_version")
    if version != expected:
        raise ValueError(f"{file} has format version {version!r}, not {expected}; run the experiment again.")


def _check_scores(metrics: Mapping[str, Any]) -> None:
    for name in METRICS:
        value = metrics.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
        if value is not None and not number:
            raise ValueError(f"metrics.json is damaged: {name!r} is {value!r}, not a number from 0 to 100.")
    if metrics.get("dice") is None and metrics.get("dice_original") is None:
        raise ValueError("metrics.json is damaged: it has neither 'dice' nor 'dice_original'.")


def _remove_damaged(metrics: dict[str, Any]) -> list[str]:
    """Remove the summaries that the report could not show, and return the reasons."""
    reasons = []
    for name, schema in _schema("metrics")["properties"].items():
        content = {**schema, "definitions": _schema("metrics")["definitions"]}
        wrong = schema_violation(metrics[name], content) if name in metrics else None
        if wrong or not _is_finite(metrics.get(name)):
            del metrics[name]
            reasons.append(f"{name!r} in metrics.json is damaged: {wrong or 'a number is not finite'}; not reported.")
    return reasons


def _read_trials(path: Path, name: str, searched: bool, problems: list[ReportProblem]) -> list[StoredTrial]:
    """Read the rows that are not damaged; experiments without a search have no trials."""
    if not path.is_file():
        if searched:
            problems.append(
                ReportProblem(
                    f"{name}/trials.csv", "is missing; the figures are without the trials of this experiment."
                )
            )
        return []
    trials = []
    try:
        _, rows = read_csv(path)
    except (OSError, ValueError) as error:
        problems.append(ReportProblem(f"{name}/trials.csv", str(error).replace(f"{path.parent}/", "")))
        return []
    for line, row in enumerate(rows, start=1):
        try:
            trials.append(_parse_trial(row))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(
                ReportProblem(f"{name}/trials.csv", f"row {line} is damaged: {error}; the report leaves it out.")
            )
    return trials


def _parse_trial(row: Mapping[Any, Any]) -> StoredTrial:
    if None in row or None in row.values():
        raise ValueError("its number of cells is not that of the header")
    if negative := [name for name in RATES if row.get(name) and _number(row[name]) < 0]:
        raise ValueError(f"{negative[0]} is {row[negative[0]]}")
    test = {
        column.removeprefix(TEST_PREFIX): _number(cell)
        for column, cell in row.items()
        if column.startswith(TEST_PREFIX) and cell
    }
    others = {column: cell for column, cell in row.items() if column not in FIXED_COLUMNS and cell}
    return StoredTrial(
        number=int(row["number"]),
        state=row["state"],
        validation=_number(row["validation"]) if row["validation"] else None,
        seconds=_number(row["seconds"]) if row["seconds"] else None,
        test=test,
        hyperparameters={k: _number_or_text(v) for k, v in others.items() if not k.startswith(TEST_PREFIX)},
    )


def _number(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not finite")
    return value


def _number_or_text(cell: str) -> float | str:
    try:
        return _number(cell)
    except ValueError:
        return cell


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically."""
    write_text_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_trials(path: Path, trials: Sequence[StoredTrial]) -> None:
    """Write ``trials.csv``: one row per trial, hyperparameters and test scores as columns."""
    hyperparameters = list(dict.fromkeys(name for trial in trials for name in trial.hyperparameters))
    columns = [*FIXED_COLUMNS, *(f"{TEST_PREFIX}{name}" for name in METRICS), *hyperparameters]
    write_csv(path, columns, (_trial_row(trial) for trial in trials))


def _trial_row(trial: StoredTrial) -> dict[str, Any]:
    fixed = {column: getattr(trial, column) for column in FIXED_COLUMNS}
    test = {f"{TEST_PREFIX}{name}": value for name, value in trial.test.items()}
    return {**fixed, **test, **trial.hyperparameters}
