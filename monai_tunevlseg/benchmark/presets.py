"""Predefined benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS, write_demo_dataset

__all__ = ["PRESETS", "Preset", "write_demo_data"]


@dataclass(frozen=True)
class Preset:
    """Defaults of a predefined benchmark.

    Attributes:
        patterns: patterns of the experiments' names.
        n_trials: number of trials of each search.
        n_jobs: number of parallel processes.
        fixed: hyperparameters of every run.
    """

    patterns: tuple[str, ...]
    n_trials: int
    n_jobs: int
    fixed: Mapping[str, Any] = field(default_factory=dict)


DEMO_IMAGES = 100

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {"demo": Preset(tuple(f"{name}/*" for name in DEMO_DATASETS), n_trials=2, n_jobs=2, fixed={"epochs": 5})}
)
"""``demo``: all models and methods on the three demo datasets, with the embedded tiny models."""


def write_demo_data(data_root: Path) -> None:
    """Write the demo datasets that do not exist yet."""
    for name in DEMO_DATASETS:
        if not (data_root / name / "splits.json").is_file():
            write_demo_dataset(name, data_root / name, num_images=DEMO_IMAGES)
