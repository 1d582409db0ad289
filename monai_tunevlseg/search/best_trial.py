"""The best trial: written back as an experiment overlay and as a bundle, and tested, once."""

from __future__ import annotations

import filecmp
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial

from monai_tunevlseg.atomic_files import unfinished_folder, write_text_atomically
from monai_tunevlseg.bundle_processes import ChildProcess, bundle_command, failure_reason
from monai_tunevlseg.bundles import with_values
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.search.experiments import Experiment
from monai_tunevlseg.search.graceful_shutdown import GracefulShutdown
from monai_tunevlseg.search.limits import HangDetector, Limits
from monai_tunevlseg.search.output_folder import find_trial_folder
from monai_tunevlseg.search.trials import OBJECTIVES, trial_problem
from monai_tunevlseg.training import CHECKPOINT, HYPERPARAMETERS
from monai_tunevlseg.yaml_files import read_yaml_mapping

__all__ = ["RemoteFolderError", "choose_best", "evaluate_checkpoint", "write_trained_bundle", "write_overlay"]

WATCH = 1.0  # seconds between two looks at a running evaluation

logger = logging.getLogger(__name__)


class RemoteFolderError(FileNotFoundError):
    """The best trial's folder is not on this machine, which has done its part."""


def choose_best(trials: Sequence[FrozenTrial], objective: str, output: Path) -> tuple[FrozenTrial, list[str]]:
    """Return the best trial whose folder is whole, and what is wrong with the folders of better ones.

    Of equal trials the one of the lowest slot wins. A folder that is missing is on another machine, so that no other
    trial is chosen, and tested, in its place.

    Args:
        trials: all of the study that have a result.
        objective: one of ``OBJECTIVES``.
        output: folder of the study on this machine.

    Raises:
        RemoteFolderError: when the best trial's folder is not on this machine; names it.
        FileNotFoundError: when no folder is whole; names the best one.
    """
    sign = -1 if OBJECTIVES[objective].direction == "maximize" else 1
    problems: list[str] = []
    for trial in sorted(trials, key=lambda trial: (sign * float(trial.value or 0), trial.user_attrs["slot"])):
        folder = find_trial_folder(trial, output)
        if not folder.is_dir():
            raise RemoteFolderError(
                f"the best trial, {trial.number}, has its folder {folder} not on this machine; run the same command on "
                "the machine that has it, which then tests the trial."
            )
        problem = trial_problem(folder)
        if problem is None:
            return trial, problems
        problems.append(f"trial {trial.number}: {problem}")
    raise FileNotFoundError(
        f"no trial has a folder that can be used; the best one is {problems[0] if problems else 'none'}."
    )


def write_overlay(path: Path, experiment: Experiment, values: Mapping[str, Any]) -> None:
    """Write hyperparameters as a config to be laid over the experiment's."""
    train, config = (f"'{file.as_posix()}'" for file in experiment.configs("train"))
    head = (
        f"# {experiment.name}: the best trial of a search; written by `tunevlseg search`\n"
        f"# python -m monai.bundle run --bundle_root {experiment.bundle.as_posix()} --dataset_dir DIR\n"
        f"#   --config_file \"[{train},{config},'{path.as_posix()}']\"\n"
    )
    write_text_atomically(path, head + yaml.safe_dump(dict(values), sort_keys=False))


def write_trained_bundle(folder: Path, experiment: Experiment, values: Mapping[str, Any], checkpoint: Path) -> None:
    """Write a trained bundle: a copy of the experiment's, with its values and the best ones in the configs.

    Nothing is written where it has this checkpoint already; else its own files are replaced, the checkpoint last, and
    others, such as an evaluation's, stay.
    """
    if _same(folder / CHECKPOINT, checkpoint):
        return
    with unfinished_folder(folder) as made:
        _make_bundle(made, experiment, values, checkpoint)
        files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path == Path(CHECKPOINT)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).replace(folder / path)


def _same(copy: Path, original: Path) -> bool:
    return copy.is_file() and filecmp.cmp(copy, original, shallow=False)


def _make_bundle(made: Path, experiment: Experiment, values: Mapping[str, Any], checkpoint: Path) -> None:
    for part in ("configs", "docs"):
        shutil.copytree(experiment.bundle / part, made / part)
    if (experiment.bundle / "LICENSE").is_file():
        shutil.copy(experiment.bundle / "LICENSE", made)
    overlay = read_yaml_mapping(experiment.config) | dict(values)
    for config in sorted((made / "configs").glob("*.yaml")):
        config.write_text(with_values(config.read_text(encoding="utf-8"), overlay), encoding="utf-8")
    (made / CHECKPOINT).parent.mkdir()
    shutil.copy(checkpoint, made / CHECKPOINT)
    if (record := checkpoint.with_name(HYPERPARAMETERS)).is_file():
        shutil.copy(record, (made / CHECKPOINT).parent)


def evaluate_checkpoint(
    experiment: Experiment,
    dataset_dir: str | Path,
    output_dir: Path,
    checkpoint: Path | None,
    overrides: Mapping[str, Any] | None = None,
    shutdown: GracefulShutdown | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Evaluate a checkpoint on the experiment's test split, in a process of its own.

    Args:
        experiment: whose ``evaluate.yaml`` is run.
        dataset_dir: the dataset.
        output_dir: gets ``metrics.json``, ``pairs.csv`` and the rest of the report, and the log, beside it.
        checkpoint: a ``model.pt``; None = zero-shot.
        overrides: hyperparameters; those that ``evaluate.yaml`` does not have are left out.
        shutdown: looked at while it runs; None = nobody catches signals.
        limits: when it counts as hanging.

    Returns:
        what is in ``metrics.json``.

    Raises:
        RuntimeError: when the run fails, or hangs; names its log.
    """
    values = experiment.known("evaluate", overrides or {}) | {
        "bundle_root": experiment.bundle,
        "dataset_dir": dataset_dir,
        "output_dir": output_dir,
        **({"method": None} if checkpoint is None else {"ckpt_path": checkpoint}),
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    log = output_dir / "log.txt"
    log.unlink(missing_ok=True)
    child = ChildProcess(bundle_command(experiment.configs("evaluate"), values), log)
    end = _wait(child, shutdown, HangDetector(limits or Limits(), [log]))
    if end:
        reason = end if isinstance(end, str) else failure_reason(end, log)
        raise RuntimeError(f"the evaluation of {experiment.name} failed, {reason}; its log is {log}.")
    return read_json_object(output_dir / "metrics.json")


def _wait(child: ChildProcess, shutdown: GracefulShutdown | None, hang_detector: HangDetector) -> int | str:
    """Return the exit status, or why the run was ended as hanging."""
    try:
        while (status := child.wait(WATCH)) is None:
            if shutdown is not None:
                shutdown.raise_if_requested()
            if problem := hang_detector.problem():
                return problem
        return status
    finally:
        child.stop()
