"""Bundles: composing them from the fragments under ``configs/``, and reading the values given on a command line."""

from monai_tunevlseg.bundles.baking import with_values
from monai_tunevlseg.bundles.composing import (
    bundle_names,
    experiment_facts,
    experiment_names,
    render_bundle,
    render_experiment,
    stale_files,
    write_bundles,
)
from monai_tunevlseg.bundles.fragments import read_facts
from monai_tunevlseg.bundles.hyperparameters import HYPERPARAMETERS, METHODS_OWN, typed
from monai_tunevlseg.bundles.starting import lay_down
from monai_tunevlseg.bundles.values import class_list, optional, prepare_run, prompt_learner

__all__ = [
    "HYPERPARAMETERS",
    "METHODS_OWN",
    "bundle_names",
    "class_list",
    "lay_down",
    "optional",
    "experiment_facts",
    "experiment_names",
    "prepare_run",
    "prompt_learner",
    "read_facts",
    "render_bundle",
    "render_experiment",
    "stale_files",
    "typed",
    "with_values",
    "write_bundles",
]
