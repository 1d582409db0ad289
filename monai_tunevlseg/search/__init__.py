"""Searches: Optuna around the bundle runs of an experiment, over as many workers as there are."""

from monai_tunevlseg.search.best_trial import RemoteFolderError, evaluate_checkpoint
from monai_tunevlseg.search.experiment_search import SearchSettings, run_search
from monai_tunevlseg.search.experiments import Experiment, find_experiment
from monai_tunevlseg.search.limits import Limits
from monai_tunevlseg.search.results import SearchResult, TrialResult, read_search_result
from monai_tunevlseg.search.search_space import ScalingSizes, read_search_space
from monai_tunevlseg.search.storages import open_storage

__all__ = [
    "ScalingSizes",
    "RemoteFolderError",
    "Limits",
    "Experiment",
    "SearchResult",
    "SearchSettings",
    "TrialResult",
    "evaluate_checkpoint",
    "find_experiment",
    "open_storage",
    "read_search_space",
    "read_search_result",
    "run_search",
]
