"""The hyperparameters of a run: their names, types and ranges, and their forms on a command line."""

from monai_tunevlseg.hyperparameters.checking import parse_hyperparameter, prepare_run
from monai_tunevlseg.hyperparameters.declarations import (
    ZERO_SHOT,
    bundle_option_types,
    hyperparameter_types,
    method_argument_types,
)

__all__ = [
    "ZERO_SHOT",
    "bundle_option_types",
    "hyperparameter_types",
    "method_argument_types",
    "parse_hyperparameter",
    "prepare_run",
]
