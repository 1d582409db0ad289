"""Experiments: their bundles and configs, and the properties that a study records before the first trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.bundles import experiment_facts, experiment_names, prompted_encoders
from monai_tunevlseg.data.samples import digest_samples
from monai_tunevlseg.errors import unwrapped_errors
from monai_tunevlseg.networks import PromptTunedNetwork, SegmentationNetwork
from monai_tunevlseg.search.search_space import ScalingSizes
from monai_tunevlseg.yaml_files import read_yaml_mapping

__all__ = [
    "BaseModelInfo",
    "Experiment",
    "build_network",
    "dataset_digest",
    "describe_base_model",
    "find_experiment",
    "read_experiment_config",
]


@dataclass(frozen=True)
class Experiment:
    """A dataset with a model and a method.

    Attributes:
        name: DATASET/MODEL_METHOD.
        bundle: folder of the bundle.
        config: config of the dataset with this bundle, which overrides the bundle's configs.
        method: name of the method's fragment.
    """

    name: str
    bundle: Path
    config: Path
    method: str

    def configs(self, kind: str) -> list[Path]:
        """Return the config files of a run: the bundle's ``train``, ``evaluate`` or ``inference`` and the dataset's."""
        return [self.bundle / "configs" / f"{kind}.yaml", self.config]

    def flat_values(self, kind: str) -> dict[str, Any]:
        """Return the hyperparameters of one of the bundle's configs, which the command line can override."""
        content = read_yaml_mapping(self.configs(kind)[0])
        return {name: value for name, value in content.items() if not isinstance(value, dict)}

    def known(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters among ``values`` that one of the bundle's configs has."""
        flat = self.flat_values(kind)
        return {name: value for name, value in values.items() if name in flat}


@dataclass(frozen=True)
class BaseModelInfo:
    """The base model of an experiment; a network that is trained from scratch has none.

    Attributes:
        fingerprint: digest of the weights; None without a base model.
        sizes: sizes by which a search space is scaled; None without a base model.
    """

    fingerprint: str | None
    sizes: ScalingSizes | None


def find_experiment(name: str, configs_dir: str | Path, bundles_dir: str | Path) -> Experiment:
    """Find an experiment by its name.

    Raises:
        FileNotFoundError: when ``configs_dir`` has no experiments, or a config is missing.
        ValueError: when the experiment is unknown; names the nearest.
    """
    if not experiment_names(configs_dir):
        raise FileNotFoundError(f"no experiments in {configs_dir}; omit --configs-dir to use the package's own.")
    facts = experiment_facts(configs_dir, name)
    bundle, config = Path(bundles_dir) / facts["bundle"], Path(configs_dir) / f"{name}.yaml"
    experiment = Experiment(name, bundle, config, facts["method"]["name"])
    for path in experiment.configs("evaluate"):
        if not path.is_file():
            raise FileNotFoundError(f"no {path} for the experiment {name}; write it with 'tunevlseg bundles write'.")
    return experiment


def read_experiment_config(experiment: Experiment, kind: str, overrides: Mapping[str, Any]) -> Any:
    """Return MONAI's ``ConfigParser`` of a run of the experiment."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(path) for path in experiment.configs(kind)])
    parser.update(dict(overrides))
    return parser


def build_network(experiment: Experiment, overrides: Mapping[str, Any]) -> SegmentationNetwork:
    """Load the base model of an experiment, and build its untrained network."""
    parser = read_experiment_config(experiment, "train", overrides)
    with unwrapped_errors():
        network: SegmentationNetwork = parser.get_parsed_content("network_def")
    return network


def describe_base_model(experiment: Experiment, overrides: Mapping[str, Any]) -> BaseModelInfo:
    """Load the base model of an experiment, and return its fingerprint and sizes."""
    # without the method, because its default depth may exceed the number of layers of this base model
    network = build_network(experiment, {**overrides, "method": "null", "upsampler": False})
    if not isinstance(network, PromptTunedNetwork):
        return BaseModelInfo(None, None)
    sizes = network.encoder_sizes()
    return BaseModelInfo(
        network.base_fingerprint,
        ScalingSizes(
            text_dim=sizes.text_dim,
            joint_dim=sizes.text_dim + (sizes.vision_dim or 0),
            num_layers=sizes.prompted_layers(*prompted_encoders(experiment.method)),
        ),
    )


def dataset_digest(experiment: Experiment, overrides: Mapping[str, Any]) -> str:
    """Read the dataset as a run does, and return the digest of its samples and splits.

    An invalid dataset raises here, before the first trial.
    """
    parser = read_experiment_config(experiment, "train", {**overrides, "write_splits_to": None})
    with unwrapped_errors():
        datalists = parser.get_parsed_content("datalists")
    return digest_samples(sample | {"split": split} for split, samples in datalists.items() for sample in samples)
