"""Settings and folders of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_tunevlseg.search import Limits, SearchSettings

__all__ = ["BenchmarkFolders", "BenchmarkSettings"]


@dataclass(frozen=True)
class BenchmarkFolders:
    """Folders of a benchmark.

    Attributes:
        results: results folder, which gets a folder for each experiment.
        data: folder with a subfolder for each dataset.
        configs: folder of the config fragments.
        bundles: folder of the bundles.
    """

    results: Path
    data: Path
    configs: Path
    bundles: Path

    def dataset(self, name: str) -> Path:
        """Return the absolute path of a dataset."""
        return (self.data / name).expanduser().absolute()


@dataclass(frozen=True)
class BenchmarkSettings:
    """How a benchmark is run.

    Attributes:
        n_trials: number of trials of each search; 0 = no search, but one run with the hyperparameters of the configs.
        objective: validation metric that selects the best trial, ``val_dice`` or ``val_loss``.
        seed: random seed of the samplers.
        fixed: hyperparameters of every run whose bundle has them.
        best_only: whether only the best trials are tested, which leaves Figures 5 to 7 empty.
        absent_texts: ``absent_texts`` of the tests: "classes", "pool" or the path of a file; None = none.
        compared_texts: ``compared_texts`` of the tests: "class_name", "published" or the path of a file; None = none.
        transfer: whether each run is tested on the other datasets of its task, too.
        storage: URL of the Optuna storage; None = a SQLite file in the folder of each experiment. Not stored.
        limits: when a trial counts as hanging. Not stored.

    Raises:
        ValueError: when ``n_trials`` is negative, or the objective is unknown.
    """

    n_trials: int = 20
    objective: str = "val_dice"
    seed: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    best_only: bool = False
    absent_texts: str | None = None
    compared_texts: str | None = None
    transfer: bool = False
    storage: str | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.n_trials < 0:
            raise ValueError(f"n_trials is {self.n_trials}; it must be 0 or more.")
        SearchSettings(objective=self.objective)  # checks it

    @property
    def evaluation(self) -> dict[str, str]:
        """The hyperparameters of the tests alone."""
        texts = {"absent_texts": self.absent_texts, "compared_texts": self.compared_texts}
        return {name: value for name, value in texts.items() if value is not None}

    def stored(self) -> dict[str, Any]:
        """Return the settings that all workers share."""
        return {
            "n_trials": self.n_trials,
            "objective": self.objective,
            "seed": self.seed,
            "fixed": dict(self.fixed),
            "best_only": self.best_only,
            "absent_texts": self.absent_texts,
            "compared_texts": self.compared_texts,
            "transfer": self.transfer,
        }
