"""The experiments of a benchmark: dataset, model, method, variant, shots and seed, and the group of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from monai_tunevlseg.yaml_files import read_yaml_mapping

__all__ = ["MAIN_TABLE", "VARIANTS", "ExperimentSpec", "Group", "Variant"]

MAIN_TABLE = 3
"""Number of the table of models and methods in the paper."""


class Group(StrEnum):
    """What an experiment trains, in the order of the tables."""

    ZERO_SHOT = "zero_shot"
    """Nothing."""
    PROMPTS = "prompts"
    """A prompt learner."""
    ADAPTERS = "adapters"
    """An adapter."""
    FINE_TUNING = "fine_tuning"
    """A part of the base model, or all of it, without a method."""
    IMAGE_ONLY = "image_only"
    """A network that does not read texts."""


@dataclass(frozen=True)
class Variant:
    """Hyperparameters that change an experiment.

    Attributes:
        title: title of a changed method, with its own title in place of ``{method}``.
        table: number of the paper's table that shows it.
        overrides: hyperparameters of the bundle with their values.
        recipe: name of a file in ``recipes`` of the configs, which has further hyperparameters; None = none.
    """

    title: str
    table: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    recipe: str | None = None

    def changes(self, configs_dir: str | Path) -> dict[str, Any]:
        """Return the hyperparameters with their values.

        Raises:
            FileNotFoundError: when the configs have no such recipe.
        """
        if self.recipe is None:
            return dict(self.overrides)
        path = Path(configs_dir) / "recipes" / f"{self.recipe}.yaml"
        if not path.is_file():
            raise FileNotFoundError(f"no {path}; leave --configs-dir out for the package's own recipes.")
        return {**read_yaml_mapping(path), **self.overrides}


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "decoder": Variant("{method} + decoder", MAIN_TABLE, {"unfreeze": "decoder"}),
        "negative_texts": Variant("{method} + negative texts", MAIN_TABLE, {"negative_texts": 3}),
        "robust": Variant("{method}, robust", MAIN_TABLE, recipe="robust"),
        "gaussian": Variant("{method}, Gaussian", 4, {"context_initializer": None}),
        "no_upsampler": Variant("{method} without upsampler", 5, {"upsampler": False}),
    }
)


@dataclass(frozen=True, order=True)
class ExperimentSpec:
    """One experiment of a benchmark.

    Attributes:
        dataset: name of the dataset.
        model: name of the model.
        method: name of the method, or of a baseline such as ``finetune``.
        variant: name in ``VARIANTS``, or None.
        num_shots: number of training images per class; None = all.
        seed: random seed of the training; None = the bundle's.
        group: group of the tables.
    """

    dataset: str
    model: str
    method: str
    variant: str | None = None
    num_shots: int | None = None
    seed: int | None = None
    group: Group = field(default=Group.PROMPTS, compare=False)

    @property
    def baseline(self) -> bool:
        """Whether the experiment has no method, that is, neither a prompt learner nor an adapter."""
        return self.group not in (Group.PROMPTS, Group.ADAPTERS)

    @property
    def trains(self) -> bool:
        """Whether it has trainable parameters; zero-shot has none."""
        return self.group is not Group.ZERO_SHOT

    @property
    def table(self) -> int:
        """Number of the paper's table that shows the experiment."""
        return VARIANTS[self.variant].table if self.variant else MAIN_TABLE

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
        """``DATASET/MODEL_METHOD[-VARIANT][-shotsNUM_SHOTS][-seedSEED]``: its folder in the results."""
        variant = f"-{self.variant}" if self.variant else ""
        shots = "" if self.num_shots is None else f"-shots{self.num_shots}"
        return self.experiment + variant + shots + ("" if self.seed is None else f"-seed{self.seed}")

    @property
    def searched(self) -> ExperimentSpec:
        """The experiment whose search selects the hyperparameters: with all images, and the bundle's seed."""
        return replace(self, num_shots=None, seed=None)

    @property
    def run_hyperparameters(self) -> dict[str, int]:
        """The hyperparameters that shots and seed set: with both, each seed draws other images, as for CoOp."""
        seed = {} if self.seed is None else {"seed": self.seed}
        if self.num_shots is None:
            return seed
        return {**seed, "num_shots": self.num_shots} | ({} if self.seed is None else {"subset_seed": self.seed})
