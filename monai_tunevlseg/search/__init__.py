"""Sweeps: Optuna around the bundle runs of an experiment, over as many workers as there are."""

from monai_tunevlseg.search.best import ElsewhereError, evaluate
from monai_tunevlseg.search.experiments import Experiment, find_experiment
from monai_tunevlseg.search.limits import Limits
from monai_tunevlseg.search.results import SearchResult, TrialResult, read_sweep
from monai_tunevlseg.search.spaces import BaseSizes, read_space
from monai_tunevlseg.search.storages import open_storage
from monai_tunevlseg.search.sweep import SearchSettings, run_search

__all__ = [
    "BaseSizes",
    "ElsewhereError",
    "Limits",
    "Experiment",
    "SearchResult",
    "SearchSettings",
    "TrialResult",
    "evaluate",
    "find_experiment",
    "open_storage",
    "read_space",
    "read_sweep",
    "run_search",
]
