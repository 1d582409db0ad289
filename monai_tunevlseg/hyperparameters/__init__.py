"""The hyperparameters of a run: which there are, what each may be, and their forms on a command line."""

from monai_tunevlseg.hyperparameters.checking import prepare_run, typed
from monai_tunevlseg.hyperparameters.table import hyperparameter_kinds, method_kinds
from monai_tunevlseg.hyperparameters.values import ZERO_SHOT, class_list, optional

__all__ = ["ZERO_SHOT", "class_list", "hyperparameter_kinds", "method_kinds", "optional", "prepare_run", "typed"]
