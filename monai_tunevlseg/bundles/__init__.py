"""Bundles and experiment configs, which are generated from the fragments in ``configs/``."""

from monai_tunevlseg.bundles.config_values import set_config_values
from monai_tunevlseg.bundles.generated_files import (
    all_experiment_facts,
    bundle_names,
    experiment_facts,
    experiment_names,
    prompted_encoders,
    render_bundle,
    render_experiment,
    stale_files,
    write_bundles,
)
from monai_tunevlseg.bundles.init_folder import init_folder
from monai_tunevlseg.bundles.templates import read_facts

__all__ = [
    "all_experiment_facts",
    "bundle_names",
    "init_folder",
    "experiment_facts",
    "experiment_names",
    "prompted_encoders",
    "read_facts",
    "render_bundle",
    "render_experiment",
    "stale_files",
    "set_config_values",
    "write_bundles",
]
