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
        n_trials: number of trials of each search; 0 = no search.
        n_jobs: number of parallel processes.
        fixed: hyperparameters of every run.
        variants: names of the added variants.
        seeds: training seeds; none = one run with the bundle's.
        shots: numbers of training images per class, None = all; none = one run with all.
        absent_texts: absent texts of the tests; None = none.
        compared_texts: texts that the tests compare; None = none.
        num_images: number of images of each demo dataset.
    """

    patterns: tuple[str, ...]
    n_trials: int
    n_jobs: int
    fixed: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    shots: tuple[int | None, ...] = ()
    absent_texts: str | None = None
    compared_texts: str | None = None
    num_images: int = 100


DRAWN_TEXTS = [
    *("airplane", "bus", "cat", "guitar", "keyboard", "tree"),
    *("fetal head", "optic disc", "wisdom tooth", "knee cartilage", "cell nucleus", "pneumothorax"),
]
"""Texts of the pool that training draws, so that its others show what was learned of texts that it never saw."""

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "demo": Preset(tuple(f"{name}/*" for name in DEMO_DATASETS), n_trials=2, n_jobs=2, fixed={"epochs": 5}),
        "obedience": Preset(
            tuple(
                f"{name}/clipseg_{method}"
                for name in DEMO_DATASETS
                for method in ("zero_shot", "vpt", "maple", "coop", "lora")
            ),
            n_trials=0,
            n_jobs=2,
            fixed={"epochs": 10, "negative_source": DRAWN_TEXTS},
            variants=("negative_texts", "robust"),
            seeds=(0, 1, 2),
            absent_texts="pool",
            compared_texts="class_name",
            num_images=128,
        ),
        "curves": Preset(
            tuple(
                f"{name}/{bundle}"
                for name in DEMO_DATASETS
                for bundle in (
                    *("clipseg_zero_shot", "clipseg_vpt", "clipseg_maple", "clipseg_coop", "clipseg_lora"),
                    "unet_scratch",
                )
            ),
            n_trials=0,
            n_jobs=2,
            fixed={"epochs": 10, "effective_batch_size": 8, "val_fraction": "same"},
            seeds=(0, 1, 2),
            shots=(4, 16, 64, None),
            num_images=128,
        ),
    }
)
"""On the three demo datasets, with the embedded tiny models. ``demo``: all models and methods. ``obedience``: what some
of them segment for absent texts, trained without such texts, with them, and by the recipe that also trains presence.
``curves``: some of them and a U-Net with 4 images per class to all 96, and as many or all 16 for validation."""


def write_demo_data(data_root: Path, num_images: int) -> None:
    """Write the demo datasets that do not exist yet."""
    for name in DEMO_DATASETS:
        if not (data_root / name / "splits.json").is_file():
            write_demo_dataset(name, data_root / name, num_images=num_images)
