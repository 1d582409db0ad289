"""The hyperparameters of a run: which there are, what each may be, and their forms on a command line."""

from monai_tunevlseg.hyperparameters.checking import parse_hyperparameter, prepare_run
from monai_tunevlseg.hyperparameters.declarations import hyperparameter_types, method_argument_types
from monai_tunevlseg.hyperparameters.values import ZERO_SHOT, class_list, optional

__all__ = [
    "ZERO_SHOT",
    "class_list",
    "hyperparameter_types",
    "method_argument_types",
    "optional",
    "prepare_run",
    "parse_hyperparameter",
]
