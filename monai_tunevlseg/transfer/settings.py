"""The settings of a transfer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_tunevlseg.evaluation import Bootstrap
from monai_tunevlseg.hyperparameters import parse_hyperparameter
from monai_tunevlseg.transfer.text_mapping import TextMapping

__all__ = ["ALL", "AUTO", "EVALUATION_OPTIONS", "PARTS", "TEST", "TransferSettings"]

AUTO, ALL, TEST = PARTS = ("auto", "all", "test")
EVALUATION_OPTIONS = (
    *("calibration", "presence_threshold", "hd95", "surface_dice", "surface_tolerance", "antialias", "precision"),
    *("pretrained", "device", "batch_size", "num_workers", "feature_cache", "feature_cache_dir", "feature_cache_size"),
    *("bootstrap_resamples", "bootstrap_seed", "num_overlays", "save_masks"),
)
"""Hyperparameters of ``evaluate.yaml`` that the evaluations of all datasets share."""


@dataclass(frozen=True)
class TransferSettings:
    """Settings of a transfer.

    Attributes:
        overrides: hyperparameters of all evaluations, of ``EVALUATION_OPTIONS``; a bundle that lacks one ignores it.
        texts: texts of classes whose name is not a class of the run.
        skip_unmapped: whether to leave out classes without a text.
        part: evaluated images of a target: "all"; "test", those of its test split; or "auto", which is all of them,
            but the test split of a target that another run was trained on.
        zero_shot: whether to evaluate the base models, too.

    Raises:
        ValueError: when a hyperparameter or the part is unknown, or a value is wrong.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    texts: TextMapping = field(default_factory=dict)
    skip_unmapped: bool = False
    part: str = AUTO
    zero_shot: bool = False

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f"the evaluated part of a target is {self.part!r}; it must be one of {', '.join(PARTS)}.")
        for name, value in self.overrides.items():
            if name not in EVALUATION_OPTIONS:
                raise ValueError(
                    f"{name} cannot be set for a transfer, because it belongs to the run or to a dataset; the options "
                    f"of all evaluations are {', '.join(EVALUATION_OPTIONS)}."
                )
            parse_hyperparameter(name, value)

    @property
    def bootstrap(self) -> Bootstrap:
        """Settings of the intervals, which are those of the evaluations."""
        return Bootstrap(
            int(self.overrides.get("bootstrap_resamples", Bootstrap.resamples)),
            seed=int(self.overrides.get("bootstrap_seed", Bootstrap.seed)),
        )
