"""What a shared bundle is about, put together before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from monai_tunevlseg.bundles import (
    HYPERPARAMETERS,
    experiment_facts,
    prompt_learner,
    render_bundle,
    render_experiment,
    typed,
)
from monai_tunevlseg.config_values import refuse_expressions
from monai_tunevlseg.resources import configs_dir
from monai_tunevlseg.sharing.base_reference import BaseReference, find_base_reference
from monai_tunevlseg.sharing.packing import VERSION
from monai_tunevlseg.sharing.trained_run import TrainedRun, read_trained_run
from monai_tunevlseg.training.run_record import MACHINE_OPTIONS

__all__ = ["Release", "Sources", "BundleSpec", "build_bundle_spec"]

NOT_SHARED = MACHINE_OPTIONS | {"trained_splits", "num_processes"}
"""Values of a run that do not travel: folders, and what suits one machine."""


@dataclass(frozen=True)
class Sources:
    """Where a bundle's parts come from, beyond the experiment and its run.

    Attributes:
        metrics: a ``metrics.json`` outside the run's folder.
        pretrained: where this machine has the base model, when neither the run nor the experiment leads there.
        base_model_id: how others know the base model; None = found out.
        values: hyperparameters that neither the run nor the experiment has.
        configs_dir: the folder of the fragments.
    """

    metrics: str | Path | None = None
    pretrained: str | Path | None = None
    base_model_id: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    configs_dir: str | Path = field(default_factory=configs_dir)


@dataclass(frozen=True)
class Release:
    """What a person says of a bundle.

    Attributes:
        name: of the bundle; None = composed of dataset, class, model and method.
        version: X.Y.Z.
        changelog: what is new in this version.
        authors: who made it.
        weights_license: of ``models/model.pt``; None = not stated.

    Raises:
        ValueError: when name or version are of another form, or MONAI's configs would evaluate a text.
    """

    name: str | None = None
    version: str = "0.1.0"
    changelog: str = "first version"
    authors: str = "monai_tunevlseg"
    weights_license: str | None = None

    def __post_init__(self) -> None:
        if not VERSION.fullmatch(self.version):
            raise ValueError(f"the version {self.version!r} is not of the form X.Y.Z, such as 0.1.0.")
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise ValueError(f"the name {self.name!r} is not a folder's name; use letters, digits, '_', '-' and '.'.")
        for option in ("changelog", "authors", "weights_license"):
            refuse_expressions(getattr(self, option), f"the option {option}")


@dataclass(frozen=True)
class BundleSpec:
    """An experiment with what was learned.

    Attributes:
        experiment: DATASET/MODEL_METHOD.
        facts: what fragments and package know of it, by the names of placeholders.
        base: its base model.
        baked: the values that the bundle's configs get in place of the templates'.
        values: all hyperparameters of training in force.
        run: what was learned; None = nothing yet.
    """

    experiment: str
    facts: Mapping[str, Any]
    base: BaseReference
    baked: Mapping[str, Any]
    values: Mapping[str, Any]
    run: TrainedRun | None

    @property
    def class_names(self) -> list[str]:
        """The classes, in the order of the network's channels."""
        return list(self.values["class_names"])

    @property
    def name(self) -> str:
        """A name in the zoo's style: dataset, the class where there is only one, model and method."""
        one = self.class_names[0].lower() if len(self.class_names) == 1 else ""
        parts = (self.facts["dataset"]["name"], re.sub(r"[^a-z0-9]+", "_", one).strip("_"), self.facts["bundle"])
        return "_".join(part for part in parts if part)


def build_bundle_spec(experiment: str, run_dir: str | Path | None = None, sources: Sources | None = None) -> BundleSpec:
    """Put together what is known of an experiment and of a run of it.

    Raises:
        FileNotFoundError: when the run has no checkpoint, or the base model is nowhere.
        ValueError: when there is no such experiment, the checkpoint is not one of it, or a value is unknown.
    """
    sources = sources or Sources()
    facts = experiment_facts(sources.configs_dir, experiment)
    overlay = yaml.safe_load(render_experiment(sources.configs_dir, experiment))
    template = render_bundle(sources.configs_dir, facts["bundle"])[Path("configs/train.yaml")]
    own = {name: value for name, value in yaml.safe_load(template).items() if not isinstance(value, dict)} | overlay
    if unknown := sorted(set(sources.values) - set(own)):
        raise ValueError(f"the experiment {experiment} has no hyperparameter {', '.join(unknown)}; see its train.yaml.")
    refuse_expressions(sources.values, "an option --override")
    refuse_expressions(sources.base_model_id, "the option --base-model-id")
    run = None if run_dir is None else read_trained_run(run_dir, sources.metrics)
    if run is not None:
        _refuse_another(experiment, run_dir, run, own, template)
    identity = None if run is None else run.identity
    base = find_base_reference(
        facts["model"]["name"], str(own["pretrained"]), identity, sources.base_model_id, sources.pretrained
    )
    try:
        trained = {} if run is None else _trained_values(run, own, base)
    except ValueError as error:
        raise ValueError(f"the run {run_dir} was not one of this package: {error}") from error
    baked = overlay | trained | dict(sources.values) | base.values
    return BundleSpec(experiment, facts, base, baked, own | baked, run)


def _refuse_another(
    experiment: str, run_dir: str | Path | None, run: TrainedRun, own: Mapping[str, Any], template: str
) -> None:
    """Refuse the checkpoint of another model or method.

    Raises:
        ValueError: names both sides.
    """
    network = str(yaml.safe_load(template)["network_def"]["_target_"]).rpartition(".")[2]
    method = prompt_learner(own["method"], own["unfreeze"])
    theirs = (run.identity["network"], run.identity["method"])
    if theirs != (network, method):
        raise ValueError(
            f"the checkpoint in {run_dir} is one of {theirs[0]} with the method {theirs[1]!r}, but the experiment "
            f"{experiment} is {network} with {method!r}; pass the experiment that was trained."
        )


def _trained_values(run: TrainedRun, own: Mapping[str, Any], base: BaseReference) -> dict[str, Any]:
    """Return the hyperparameters in which the run departed from the experiment; the checkpoint's come first."""
    values = {
        name: value
        for name, value in run.hyperparameters.items()
        if name in HYPERPARAMETERS and name not in NOT_SHARED and not str(own.get(name)).startswith("$")
    }
    values |= run.identity["method_kwargs"]
    values |= {name: run.identity[name] for name in ("upsampler", "unfreeze", "class_names")}
    images = {"image_size": base.images.size, "image_mean": list(base.images.mean), "image_std": list(base.images.std)}
    ran = {name: run.hyperparameters.get(name, value) for name, value in images.items()}
    values |= {name: value for name, value in ran.items() if value != images[name]}
    values = {name: typed(name, value) for name, value in values.items() if name in own}
    return {name: value for name, value in values.items() if own[name] != value}
