"""The experiments of a benchmark: dataset, model, method and variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["BASELINES", "FINE_TUNING", "VARIANTS", "ZERO_SHOT", "ExperimentSpec", "Variant"]

ZERO_SHOT = "zero_shot"
"""The method without trainable parameters."""

FINE_TUNING = "finetune"

BASELINES = (FINE_TUNING, ZERO_SHOT)
"""Methods that are not prompt learners."""


@dataclass(frozen=True)
class Variant:
    """One change of an ablation.

    Attributes:
        title: title in the tables.
        table: number of the table in the paper.
        override: hyperparameter of the bundle.
        value: its value, in the form of the command line.
    """

    title: str
    table: int
    override: str
    value: Any


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "gaussian": Variant("Gaussian", 4, "context_initializer", "null"),
        "no_upsampler": Variant("without upsampler", 5, "upsampler", "false"),
    }
)


@dataclass(frozen=True, order=True)
class ExperimentSpec:
    """One experiment of a benchmark.

    Attributes:
        dataset: name of the dataset.
        model: name of the VLSM.
        method: name of the method.
        variant: name in ``VARIANTS``, or None.
    """

    dataset: str
    model: str
    method: str
    variant: str | None = None

    @property
    def bundle(self) -> str:
        """Name of the bundle; zero-shot runs CoOp's bundle, which every model has, without its method."""
        return f"{self.model}_{'coop' if self.method == ZERO_SHOT else self.method}"

    @property
    def experiment(self) -> str:
        """Name of the experiment without the variant, which is that of its config."""
        return f"{self.dataset}/{self.bundle}"

    @property
    def name(self) -> str:
        """``DATASET/MODEL_METHOD`` or ``DATASET/MODEL_METHOD-VARIANT``, its folder in the results."""
        return f"{self.dataset}/{self.model}_{self.method}" + (f"-{self.variant}" if self.variant else "")
