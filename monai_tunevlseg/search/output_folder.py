"""The output folder of a study: whose it is, where a trial's folder lies, and what of it nobody needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from monai_tunevlseg.atomic_files import remove_unfinished, write_text_atomically
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
FOLDER = "folder"  # the user attribute of a trial


def reserve_output_folder(output: Path, study_name: str) -> None:
    """Make the output folder of a study, and write down whose it is.

    Raises:
        ValueError: when it is another study's; names both.
    """
    output.mkdir(parents=True, exist_ok=True)
    with FileLock(output / ".study.lock"):
        if not (output / OWNER).is_file():
            write_text_atomically(output / OWNER, study_name + "\n")
        owner = (output / OWNER).read_text(encoding="utf-8", errors="replace").rstrip("\n")
    if owner != study_name:
        raise ValueError(
            f"the folder {output} holds the study {owner!r}, and this command runs {study_name!r}; give it a folder of "
            "its own with --output-dir."
        )


def trial_folder(trials: Path, number: int) -> Path:
    """Return the folder of a trial below that of all trials."""
    return trials / f"{number:04d}"


def make_trial_folder(folder: Path) -> None:
    """Make the folder of a new trial.

    Raises:
        FileExistsError: when there is one, which only another study can have made.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise FileExistsError(
            f"{folder} holds a trial of another study; give this one a folder of its own with --output-dir, or move "
            "the other one's trials away."
        ) from error


def find_trial_folder(trial: FrozenTrial, output: Path) -> Path:
    """Return the folder of a trial: where it was made, or where the output folder was moved to or is mounted here."""
    recorded = Path(trial.user_attrs[FOLDER])
    moved = trial_folder(output / TRIALS, trial.number)
    return moved if moved.is_dir() or not recorded.is_dir() else recorded


def discard_checkpoints(folder: Path) -> None:
    """Remove all that a trial without a result has trained; config, log and validation curve stay."""
    shutil.rmtree(folder / CHECKPOINT.parent, ignore_errors=True)


def remove_unneeded_files(output: Path, study: Study, keep: Iterable[int] | None) -> None:
    """Remove checkpoints that nobody needs, and what writers that were killed have left. Hold the folder's lock.

    Args:
        output: of the study.
        study: a finished one.
        keep: numbers of the trials whose ``model.pt`` stays; None = of all that have a result.
    """
    kept = None if keep is None else set(keep)
    for trial in study.get_trials(deepcopy=False):
        folder = trial_folder(output / TRIALS, trial.number)
        if trial.state in (TrialState.FAIL, TrialState.PRUNED):
            discard_checkpoints(folder)
        elif trial.state == TrialState.COMPLETE and kept is not None and trial.number not in kept:
            (folder / CHECKPOINT).unlink(missing_ok=True)
    for name in WRITTEN:
        remove_unfinished(output / name)
