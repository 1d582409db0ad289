"""The output folder of a study: its owner, the folders of the trials, and the removal of unneeded files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from monai_tunevlseg.atomic_files import remove_unfinished, write_text_atomically
from monai_tunevlseg.calibration import remove_calibration
from monai_tunevlseg.training import CHECKPOINT

__all__ = [
    "discard_checkpoints",
    "find_trial_folder",
    "make_trial_folder",
    "remove_unneeded_files",
    "reserve_output_folder",
    "trial_folder",
]

OWNER = "study.txt"
TRIALS = "trials"
WRITTEN = (OWNER, "best", "best.yaml", "search.json")
FOLDER = "folder"  # user attribute of a trial


def reserve_output_folder(output: Path, study_name: str) -> None:
    """Create the output folder of a study, and record the study as its owner.

    Raises:
        ValueError: when the folder belongs to another study; names both.
    """
    output.mkdir(parents=True, exist_ok=True)
    with FileLock(output / ".study.lock"):
        if not (output / OWNER).is_file():
            write_text_atomically(output / OWNER, study_name + "\n")
        owner = (output / OWNER).read_text(encoding="utf-8", errors="replace").rstrip("\n")
    if owner != study_name:
        raise ValueError(
            f"the folder {output} belongs to the study {owner!r}, not to {study_name!r}; pass another folder with "
            "--output-dir."
        )


def trial_folder(trials: Path, number: int) -> Path:
    """Return the folder of a trial, below the folder of all trials."""
    return trials / f"{number:04d}"


def make_trial_folder(folder: Path) -> None:
    """Create the folder of a new trial.

    Raises:
        FileExistsError: when it exists, which means that another study has created it.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise FileExistsError(
            f"{folder} is a trial of another study; pass another folder with --output-dir, or move the trials of the "
            "other study."
        ) from error


def find_trial_folder(trial: FrozenTrial, output: Path) -> Path:
    """Return the folder of a trial: the recorded one, or the one in an output folder that was moved or is mounted."""
    recorded = Path(trial.user_attrs[FOLDER])
    moved = trial_folder(output / TRIALS, trial.number)
    return moved if moved.is_dir() or not recorded.is_dir() else recorded


def discard_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a trial without a result, and keep its config, log and validation log."""
    shutil.rmtree(folder / CHECKPOINT.parent, ignore_errors=True)


def remove_unneeded_files(output: Path, study: Study, keep: Iterable[int] | None) -> None:
    """Remove unneeded checkpoints, and temporary files of killed processes. The caller holds the folder's lock.

    Args:
        output: output folder of the study.
        study: finished study.
        keep: numbers of the trials that keep their ``model.pt``; None = all finished trials.
    """
    kept = None if keep is None else set(keep)
    for trial in study.get_trials(deepcopy=False):
        folder = trial_folder(output / TRIALS, trial.number)
        if trial.state in (TrialState.FAIL, TrialState.PRUNED):
            discard_checkpoints(folder)
        elif trial.state == TrialState.COMPLETE and kept is not None and trial.number not in kept:
            (folder / CHECKPOINT).unlink(missing_ok=True)
            remove_calibration(folder / CHECKPOINT)
    for name in WRITTEN:
        remove_unfinished(output / name)
