"""The content of a shared bundle, collected before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from monai_tunevlseg.bundles import experiment_facts, render_bundle, render_experiment
from monai_tunevlseg.calibration import Calibration
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS
from monai_tunevlseg.data.layouts import DatasetInfo
from monai_tunevlseg.hyperparameters import hyperparameter_types, parse_hyperparameter
from monai_tunevlseg.resources import configs_dir
from monai_tunevlseg.sharing.base_reference import BaseReference, find_base_reference
from monai_tunevlseg.sharing.packing import VERSION
from monai_tunevlseg.sharing.trained_run import TrainedRun, read_trained_run
from monai_tunevlseg.training.run_record import MACHINE_OPTIONS
from monai_tunevlseg.untrusted_values import refuse_expressions

__all__ = ["BundleSpec", "Release", "Sources", "build_bundle_spec"]

SUBSET_OPTIONS = ("num_shots", "train_fraction", "val_fraction", "subset_seed")
NOT_SHARED = MACHINE_OPTIONS | {"trained_splits", "num_processes", *SUBSET_OPTIONS}
"""Hyperparameters of a run that a bundle does not take over.

Folders and machine settings stay on its machine. A part of the run's images says nothing about other data.
"""


@dataclass(frozen=True)
class Sources:
    """Sources of a bundle's parts, in addition to the experiment and its run.

    Attributes:
        metrics_file: path of a ``metrics.json`` outside the run's folder.
        pretrained: folder of the base model on this machine, if neither the run nor the experiment leads to it.
        base_model_id: public id of the base model; None = derived from the run and the experiment.
        overrides: hyperparameters that override those of the run and the experiment.
        configs_dir: folder of the config fragments.
    """

    metrics_file: str | Path | None = None
    pretrained: str | Path | None = None
    base_model_id: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    configs_dir: str | Path = field(default_factory=configs_dir)


@dataclass(frozen=True)
class Release:
    """Release information of a bundle, given by its authors.

    Attributes:
        name: name of the bundle; None = dataset, class, model and method.
        version: version of the bundle, X.Y.Z.
        changelog: changes in this version.
        authors: authors of the bundle.
        weights_license: license of ``models/model.pt``; None = not stated.

    Raises:
        ValueError: when the name or version is malformed, or MONAI's config parser would evaluate a text.
    """

    name: str | None = None
    version: str = "0.1.0"
    changelog: str = "first version"
    authors: str = "monai_tunevlseg"
    weights_license: str | None = None

    def __post_init__(self) -> None:
        if not VERSION.fullmatch(self.version):
            raise ValueError(f"version {self.version!r} is not of the form X.Y.Z, such as 0.1.0.")
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise ValueError(f"name {self.name!r} is not a valid folder name; use letters, digits, '_', '-' and '.'.")
        for option in ("changelog", "authors", "weights_license"):
            refuse_expressions(getattr(self, option), f"the option {option}")


@dataclass(frozen=True)
class BundleSpec:
    """An experiment and, once it is trained, its results.

    Attributes:
        experiment: name of the experiment, DATASET/MODEL_METHOD.
        facts: titles, summaries, references and licenses of dataset, model and method, as in the config fragments.
        base: the base model; None for a network that is trained from scratch.
        config_values: values that replace those of the bundle's config templates.
        hyperparameters: all hyperparameters of training.
        run: the trained run; None = not trained.
        subset: the options with which the run used a part of its images; empty if it used all.
    """

    experiment: str
    facts: Mapping[str, Any]
    base: BaseReference | None
    config_values: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    run: TrainedRun | None
    subset: Mapping[str, Any]

    @property
    def class_names(self) -> list[str]:
        """The class names, in the order of the network's output channels."""
        neutral = self.hyperparameters.get("neutral_text")
        return [neutral] if neutral and self.base is None else list(self.hyperparameters["class_names"])

    @property
    def name(self) -> str:
        """The name in the style of the Model Zoo: dataset, class (if there is only one), model and method."""
        one = self.class_names[0].lower() if len(self.class_names) == 1 else ""
        parts = (self.facts["dataset"]["name"], re.sub(r"[^a-z0-9]+", "_", one).strip("_"), self.facts["bundle"])
        return "_".join(part for part in parts if part)

    @property
    def title(self) -> str:
        """The name to display: model, method and dataset."""
        dataset, model, method = (self.facts[part]["title"] for part in ("dataset", "model", "method"))
        return f"{model}{' with ' if self.base else ', '}{method} on {dataset}"

    @property
    def description(self) -> str:
        """One or two sentences for ``metadata.json`` and the model card."""
        dataset, model, method = (self.facts[part] for part in ("dataset", "model", "method"))
        use = "adapted to" if self.base else "for"
        text = f"{model['title']} {use} {dataset['title']}: {method['title']} {method['summary']}."
        return text if self.run else f"{text} Not trained: the weights are the initial ones."

    @property
    def image_size(self) -> int:
        """The side of the network's input in pixels."""
        size = self.hyperparameters["image_size"]
        return size if isinstance(size, int) or self.base is None else self.base.images.size

    @property
    def image_settings(self) -> dict[str, Any]:
        """What the inferer takes from the base model, so that an exported network runs without one; else empty."""
        if self.base is None:
            return {}
        images = self.base.images
        values = {"image_size": images.size, "image_mean": list(images.mean), "image_std": list(images.std)}
        return {name: self.config_values.get(name, value) for name, value in values.items()}

    @property
    def public_dataset(self) -> DatasetInfo | None:
        """Information about a public dataset; None for the synthetic demo datasets of this package."""
        dataset = self.facts["dataset"]["name"]
        return None if dataset in DEMO_DATASETS else LAYOUTS[dataset].info

    @property
    def metrics(self) -> dict[str, Any] | None:
        """The content of ``metrics.json``; None without an evaluation of the run."""
        return None if self.run is None else self.run.metrics

    @property
    def calibration(self) -> Calibration | None:
        """The calibration of the run's checkpoint; None if it has none."""
        return None if self.run is None else self.run.calibration


def build_bundle_spec(experiment: str, run_dir: str | Path | None = None, sources: Sources | None = None) -> BundleSpec:
    """Collect the content of a bundle from an experiment and a run of it.

    Args:
        experiment: name of the experiment, DATASET/MODEL_METHOD.
        run_dir: folder of the run; None = not trained.
        sources: sources of further parts.

    Raises:
        FileNotFoundError: when the run has no checkpoint, or the base model is not found.
        ValueError: when the experiment is unknown or trains nothing, the checkpoint belongs to another one, or a value
            is invalid.
    """
    sources = sources or Sources()
    facts = experiment_facts(sources.configs_dir, experiment)
    if not facts["method"]["trains"]:
        raise ValueError(f"experiment {experiment} trains nothing; share an experiment with a method.")
    overlay = yaml.safe_load(render_experiment(sources.configs_dir, experiment))
    template = yaml.safe_load(render_bundle(sources.configs_dir, facts["bundle"])[Path("configs/train.yaml")])
    defaults = {name: value for name, value in template.items() if not isinstance(value, dict)} | overlay
    if unknown := sorted(set(sources.overrides) - set(defaults)):
        raise ValueError(f"experiment {experiment} has no hyperparameter {', '.join(unknown)}; see its train.yaml.")
    refuse_expressions(sources.overrides, "an option --override")
    refuse_expressions(sources.base_model_id, "the option --base-model-id")
    run = None if run_dir is None else read_trained_run(run_dir, sources.metrics_file)
    if run is not None:
        _check_network(experiment, run_dir, run, defaults, template["network_def"]["_target_"])
    base = _find_base(facts["model"], defaults, run, sources)
    try:
        trained = {} if run is None else _trained_values(run, defaults, base)
        subset = {} if run is None else _subset_options(run)
    except ValueError as error:
        raise ValueError(f"run {run_dir} has invalid hyperparameters: {error}") from error
    config_values = overlay | trained | dict(sources.overrides) | (base.values if base else {})
    return BundleSpec(experiment, facts, base, config_values, defaults | config_values, run, subset)


def _find_base(
    model: Mapping[str, Any], defaults: Mapping[str, Any], run: TrainedRun | None, sources: Sources
) -> BaseReference | None:
    """Return the base model; None for a network that is trained from scratch.

    Raises:
        ValueError: when a base model is given to a network that has none.
    """
    if model["reads_text"]:
        identity = None if run is None else run.identity
        return find_base_reference(
            model["name"], str(defaults["pretrained"]), identity, sources.base_model_id, sources.pretrained
        )
    if given := sources.base_model_id or sources.pretrained:
        raise ValueError(
            f"{model['title']} is trained from scratch and has no base model, but {str(given)!r} is given; leave "
            "--pretrained and --base-model-id out."
        )
    return None


def _check_network(
    experiment: str, run_dir: str | Path | None, run: TrainedRun, defaults: Mapping[str, Any], target: str
) -> None:
    """Refuse the checkpoint of another model or method.

    Raises:
        ValueError: names both networks and methods.
    """
    ours = {"network": target.rpartition(".")[2], "method": defaults["method"]}
    if ours["method"] is None:  # then only the unfrozen part distinguishes experiments
        ours["unfreeze"] = defaults["unfreeze"]
    theirs = {name: run.identity[name] for name in ours}
    if theirs != ours:
        raise ValueError(
            f"the checkpoint in {run_dir} has {_listed(theirs)}, but experiment {experiment} has {_listed(ours)}; pass "
            "the experiment of the run."
        )


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in values.items())


def _trained_values(run: TrainedRun, defaults: Mapping[str, Any], base: BaseReference | None) -> dict[str, Any]:
    """Return the hyperparameters of the run that differ from the defaults; those in the checkpoint take precedence."""
    values = {
        name: value
        for name, value in run.hyperparameters.items()
        if name in hyperparameter_types() and name not in NOT_SHARED and not str(defaults.get(name)).startswith("$")
    }
    values |= run.identity["method_kwargs"] | run.identity.get("settings", {})
    values |= {name: run.identity[name] for name in ("upsampler", "unfreeze")}
    neutral = values.get("neutral_text", defaults.get("neutral_text"))
    if base is not None or not neutral:  # the channel of an image-only network is otherwise that of the text
        values["class_names"] = run.identity["class_names"]
    if base is not None:
        size, mean, std = base.images.size, list(base.images.mean), list(base.images.std)
        images = {"image_size": size, "image_mean": mean, "image_std": std}
        ran = {name: run.hyperparameters.get(name, value) for name, value in images.items()}
        values |= {name: value for name, value in ran.items() if value != images[name]}
    values = {name: parse_hyperparameter(name, value) for name, value in values.items() if name in defaults}
    return {name: value for name, value in values.items() if defaults[name] != value}


def _subset_options(run: TrainedRun) -> dict[str, Any]:
    record = run.hyperparameters
    values = {name: parse_hyperparameter(name, record[name]) for name in SUBSET_OPTIONS if name in record}
    given = {name: value for name, value in values.items() if value is not None}
    return given if given.keys() - {"subset_seed"} else {}
