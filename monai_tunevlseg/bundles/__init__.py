"""Bundles: composing them from the fragments in ``configs/``, and laying them down in a folder."""

from monai_tunevlseg.bundles.baking import with_values
from monai_tunevlseg.bundles.composing import (
    bundle_names,
    experiment_facts,
    experiment_names,
    prompts_of,
    render_bundle,
    render_experiment,
    stale_files,
    write_bundles,
)
from monai_tunevlseg.bundles.fragments import read_facts
from monai_tunevlseg.bundles.starting import lay_down

__all__ = [
    "bundle_names",
    "lay_down",
    "experiment_facts",
    "experiment_names",
    "prompts_of",
    "read_facts",
    "render_bundle",
    "render_experiment",
    "stale_files",
    "with_values",
    "write_bundles",
]
