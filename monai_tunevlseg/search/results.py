"""The result of a search, as a file that is read without the storage."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.json_files import read_json_object, schema_violation
from monai_tunevlseg.search.output_folder import FOLDER, find_trial_folder
from monai_tunevlseg.search.trial_queue import CAUSE, CRASHED, REASON, SLOT

__all__ = ["SEARCH_FILE", "SearchResult", "TrialResult", "read_search_result", "trial_results", "write_search_result"]

SEARCH_FILE = "search.json"
SEARCH_VERSION = 1
_NUMBER, _COUNT, _TEXT = {"type": ["number", "null"]}, {"type": ["integer", "null"], "minimum": 0}, {"type": "string"}
_TRIAL = {
    "type": "object",
    "required": ["slot", "number", "state", "value", "params"],
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("slot", "number"), {"type": "integer", "minimum": 0}),
        **dict.fromkeys(("value", "val_dice", "val_loss", "seconds", "seconds_per_step"), _NUMBER),
        **dict.fromkeys(("epoch", "epochs", "peak_memory_bytes"), _COUNT),
        **dict.fromkeys(("folder", "reason"), {"type": ["string", "null"]}),
        "state": {"enum": [state.name for state in TrialState]},
        "params": {"type": "object"},
    },
}
_SEARCH = {
    "type": "object",
    "required": ["experiment", "study", "plan", "best", "trials", "metrics", "test_seconds", "problems"],
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("experiment", "study"), _TEXT),
        "plan": {"type": "object"},
        "best": _TRIAL,
        "trials": {"type": "array", "items": _TRIAL},
        "metrics": {"type": "object", "required": ["dice"], "properties": {"dice": {"type": "number"}}},
        "test_seconds": {"type": "number", "minimum": 0},
        "problems": {"type": "array", "items": _TEXT},
        "evaluation": {"type": "object"},
    },
}


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial.

    Attributes:
        slot: slot of the search, 0 to N - 1, or higher after crashed trials; independent of interruptions.
        number: number in Optuna's study, where interrupted trials count too.
        state: COMPLETE, PRUNED or FAIL.
        value: objective value; None when the trial failed.
        params: hyperparameters by name.
        val_dice: validation Dice of the checkpoint, 0 to 1.
        val_loss: validation loss of the checkpoint.
        epoch: epoch of the checkpoint, from 1.
        epochs: number of trained epochs.
        seconds: wall time in seconds.
        seconds_per_step: median wall time of an optimizer step in seconds, without loading and validation.
        peak_memory_bytes: peak memory of the GPU, or of the process without a GPU.
        folder: folder of the config, the log, the validation log and the checkpoint.
        reason: reason of a failure; None when the trial did not fail.
    """

    slot: int
    number: int
    state: str
    value: float | None
    params: dict[str, Any]
    val_dice: float | None = None
    val_loss: float | None = None
    epoch: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    seconds_per_step: float | None = None
    peak_memory_bytes: int | None = None
    folder: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SearchResult:
    """Result of a finished search.

    Attributes:
        experiment: name of the experiment.
        study: name of the study.
        plan: values common to all workers: objective, seed, search space, fixed hyperparameters, base model, data.
        best: best trial, chosen on validation data alone.
        trials: finished, pruned and crashed trials, sorted by slot.
        metrics: ``metrics.json`` of the test of the best trial.
        test_seconds: wall time of that test in seconds.
        problems: problems that did not end the search.
        evaluation: hyperparameters of the test alone.
    """

    experiment: str
    study: str
    plan: dict[str, Any]
    best: TrialResult
    trials: list[TrialResult]
    metrics: dict[str, Any]
    test_seconds: float
    problems: list[str] = field(default_factory=list)
    evaluation: dict[str, Any] = field(default_factory=dict)


def trial_results(study: optuna.Study, output: Path) -> list[TrialResult]:
    """Return the finished, pruned and crashed trials, sorted by slot; interrupted and lost ones are left out."""
    return sorted(
        (_trial_result(trial, output) for trial in study.get_trials(deepcopy=False) if _counts(trial)),
        key=lambda trial: (trial.slot, trial.number),
    )


def write_search_result(folder: Path, result: SearchResult) -> None:
    """Write ``search.json`` atomically."""
    content = {"format_version": SEARCH_VERSION, **asdict(result)}
    write_text_atomically(folder / SEARCH_FILE, json.dumps(content, indent=2) + "\n")


def read_search_result(folder: str | Path) -> SearchResult:
    """Read ``search.json`` of a finished search.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is damaged or has another format version.
    """
    path = Path(folder) / SEARCH_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; the search has not finished.")
    content = read_json_object(path)
    version = content.pop("format_version", None)
    if version != SEARCH_VERSION:
        raise ValueError(f"{path} has format version {version!r}, not {SEARCH_VERSION}; run the search again.")
    if wrong := schema_violation(content, _SEARCH):
        raise ValueError(f"{path} is damaged: {wrong}; remove it, and run the search again.")
    best, trials = TrialResult(**content.pop("best")), [TrialResult(**entry) for entry in content.pop("trials")]
    return SearchResult(**content, best=best, trials=trials)


def _counts(trial: FrozenTrial) -> bool:
    done = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    crashed = trial.state == TrialState.FAIL and trial.user_attrs.get(CAUSE) == CRASHED
    return SLOT in trial.user_attrs and (done or crashed)


def _trial_result(trial: FrozenTrial, output: Path) -> TrialResult:
    names = ("val_dice", "val_loss", "epoch", "epochs", "seconds", "seconds_per_step", "peak_memory_bytes")
    facts = {name: trial.user_attrs.get(name) for name in names}
    folder = str(find_trial_folder(trial, output)) if FOLDER in trial.user_attrs else None
    return TrialResult(
        slot=trial.user_attrs[SLOT],
        number=trial.number,
        state=trial.state.name,
        value=trial.value,
        params=dict(trial.params),
        folder=folder,
        reason=trial.user_attrs.get(REASON),
        **facts,
    )
