"""The experiments of a benchmark: dataset, model, method and variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["VARIANTS", "ExperimentSpec", "Variant"]


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
        baseline: whether the method is a baseline, such as fine-tuning.
        trains: whether it has trainable parameters; zero-shot has none.
    """

    dataset: str
    model: str
    method: str
    variant: str | None = None
    baseline: bool = field(default=False, compare=False)
    trains: bool = field(default=True, compare=False)

    @property
    def bundle(self) -> str:
        """Name of the bundle."""
        return f"{self.model}_{self.method}"

    @property
    def config(self) -> str:
        """Name of the bundle's config that lists its hyperparameters."""
        return "train" if self.trains else "evaluate"

    @property
    def experiment(self) -> str:
        """Name of the experiment without the variant, which is that of its config."""
        return f"{self.dataset}/{self.bundle}"

    @property
    def name(self) -> str:
        """``DATASET/MODEL_METHOD`` or ``DATASET/MODEL_METHOD-VARIANT``, its folder in the results."""
        return self.experiment + (f"-{self.variant}" if self.variant else "")
