"""What a benchmark measures: an experiment, as it is or in a variant of the paper's ablations, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["BASELINES", "FINE_TUNING", "VARIANTS", "ZERO_SHOT", "Entry", "Variant"]

ZERO_SHOT = "zero_shot"
"""The method of an entry that nothing is trained for."""

FINE_TUNING = "finetune"

BASELINES = (FINE_TUNING, ZERO_SHOT)
"""Methods that are no prompt learners."""


@dataclass(frozen=True)
class Variant:
    """A change that an ablation makes to an experiment.

    Attributes:
        title: what the tables say.
        table: number of the paper's table that it belongs to.
        override: hyperparameter of the bundle that is set.
        value: what it is set to, as a command line would.
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
class Entry:
    """One cell of the tables.

    Attributes:
        dataset: name of the dataset.
        model: name of the VLSM.
        method: name of the prompt learner, ``finetune`` or ``zero_shot``.
        variant: one of ``VARIANTS``, or None for the experiment as it is.
    """

    dataset: str
    model: str
    method: str
    variant: str | None = None

    @property
    def bundle(self) -> str:
        """Name of the bundle that is run; zero-shot is CoOp's, whose method every model takes, without the method."""
        return f"{self.model}_{'coop' if self.method == ZERO_SHOT else self.method}"

    @property
    def experiment(self) -> str:
        """Name of the experiment whose config is laid over the bundle's."""
        return f"{self.dataset}/{self.bundle}"

    @property
    def name(self) -> str:
        """``DATASET/MODEL_METHOD``, with ``-VARIANT`` behind: the entry's folder among the results."""
        return f"{self.dataset}/{self.model}_{self.method}" + (f"-{self.variant}" if self.variant else "")
