"""The best trial: its selection, its hyperparameters as a config, and its trained bundle."""

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
from monai_tunevlseg.bundles import set_config_values
from monai_tunevlseg.calibration import CALIBRATION, remove_calibration
from monai_tunevlseg.search.experiments import Experiment
from monai_tunevlseg.search.output_folder import find_trial_folder
from monai_tunevlseg.search.trials import OBJECTIVES, trial_problem
from monai_tunevlseg.training import CHECKPOINT, HYPERPARAMETERS
from monai_tunevlseg.yaml_files import read_yaml_mapping

__all__ = ["RemoteFolderError", "choose_best", "write_overlay", "write_trained_bundle"]

logger = logging.getLogger(__name__)


class RemoteFolderError(FileNotFoundError):
    """The folder of the best trial is on another machine, which tests it."""


def choose_best(trials: Sequence[FrozenTrial], objective: str, output: Path) -> tuple[FrozenTrial, list[str]]:
    """Return the best trial with a complete folder, and the problems with the folders of better trials.

    Of equal trials the one of the lowest slot is chosen. A missing folder is on another machine, and no other trial is
    chosen and tested in its place.

    Args:
        trials: finished trials of the study.
        objective: one of ``OBJECTIVES``.
        output: output folder of the study on this machine.

    Raises:
        RemoteFolderError: when the folder of the best trial is not on this machine; names the folder.
        FileNotFoundError: when no folder is complete; names the best one.
    """
    sign = -1 if OBJECTIVES[objective].direction == "maximize" else 1
    problems: list[str] = []
    for trial in sorted(trials, key=lambda trial: (sign * float(trial.value or 0), trial.user_attrs["slot"])):
        folder = find_trial_folder(trial, output)
        if not folder.is_dir():
            raise RemoteFolderError(
                f"the folder of the best trial, {trial.number}, is not on this machine: {folder}; run the same command "
                "on the machine that has it, to test the trial."
            )
        problem = trial_problem(folder)
        if problem is None:
            return trial, problems
        problems.append(f"trial {trial.number}: {problem}")
    raise FileNotFoundError(
        f"no trial has a complete folder; the problem of the best one is: {problems[0] if problems else 'none'}."
    )


def write_overlay(path: Path, experiment: Experiment, values: Mapping[str, Any]) -> None:
    """Write hyperparameters as a config that overrides the experiment's."""
    train, config = (f"'{file.as_posix()}'" for file in experiment.configs("train"))
    head = (
        f"# {experiment.name}: the best trial of a search; written by `tunevlseg search`\n"
        f"# python -m monai.bundle run --bundle_root {experiment.bundle.as_posix()} --dataset_dir DIR\n"
        f"#   --config_file \"[{train},{config},'{path.as_posix()}']\"\n"
    )
    write_text_atomically(path, head + yaml.safe_dump(dict(values), sort_keys=False))


def write_trained_bundle(folder: Path, experiment: Experiment, values: Mapping[str, Any], checkpoint: Path) -> None:
    """Write a trained bundle: a copy of the experiment's bundle, with the experiment's and the best trial's values.

    A bundle with this checkpoint is left unchanged. Otherwise its own files are replaced, the checkpoint last, and
    other files, such as those of an evaluation, stay.
    """
    if (folder / CHECKPOINT).is_file() and filecmp.cmp(folder / CHECKPOINT, checkpoint, shallow=False):
        return
    with unfinished_folder(folder) as made:
        _make_bundle(made, experiment, values, checkpoint)
        remove_calibration(folder / CHECKPOINT)
        files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path == Path(CHECKPOINT)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).replace(folder / path)


def _make_bundle(made: Path, experiment: Experiment, values: Mapping[str, Any], checkpoint: Path) -> None:
    for part in ("configs", "docs"):
        shutil.copytree(experiment.bundle / part, made / part)
    if (experiment.bundle / "LICENSE").is_file():
        shutil.copy(experiment.bundle / "LICENSE", made)
    overlay = read_yaml_mapping(experiment.config) | dict(values)
    for config in sorted((made / "configs").glob("*.yaml")):
        config.write_text(set_config_values(config.read_text(encoding="utf-8"), overlay), encoding="utf-8")
    (made / CHECKPOINT).parent.mkdir()
    shutil.copy(checkpoint, made / CHECKPOINT)
    for name in (HYPERPARAMETERS, CALIBRATION):
        if (record := checkpoint.with_name(name)).is_file():
            shutil.copy(record, (made / CHECKPOINT).parent)
