"""Hyperparameter search: Optuna studies whose trials are bundle runs, shared by any number of workers."""

from monai_tunevlseg.search.best_trial import RemoteFolderError
from monai_tunevlseg.search.checkpoint_evaluation import evaluate_checkpoint, run_evaluation
from monai_tunevlseg.search.experiment_search import SearchSettings, run_search
from monai_tunevlseg.search.experiments import Experiment, find_experiment
from monai_tunevlseg.search.limits import Limits
from monai_tunevlseg.search.results import SearchResult, TrialResult, read_search_result
from monai_tunevlseg.search.search_space import ScalingSizes, format_params, read_search_space
from monai_tunevlseg.search.storages import open_storage

__all__ = [
    "Experiment",
    "Limits",
    "RemoteFolderError",
    "ScalingSizes",
    "SearchResult",
    "SearchSettings",
    "TrialResult",
    "evaluate_checkpoint",
    "find_experiment",
    "format_params",
    "open_storage",
    "read_search_result",
    "read_search_space",
    "run_evaluation",
    "run_search",
]
