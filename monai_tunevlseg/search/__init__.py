"""Sweeps: Optuna around the bundle runs of a pair, over as many workers as there are."""

from monai_tunevlseg.search.best import ElsewhereError, evaluate
from monai_tunevlseg.search.limits import Limits
from monai_tunevlseg.search.pairs import Pair, bundle_command, find_pair
from monai_tunevlseg.search.results import SearchResult, TrialResult, read_sweep
from monai_tunevlseg.search.spaces import BaseSizes, read_space
from monai_tunevlseg.search.storages import open_storage
from monai_tunevlseg.search.sweep import SearchSettings, run_search

__all__ = [
    "BaseSizes",
    "ElsewhereError",
    "Limits",
    "Pair",
    "SearchResult",
    "SearchSettings",
    "TrialResult",
    "bundle_command",
    "evaluate",
    "find_pair",
    "open_storage",
    "read_space",
    "read_sweep",
    "run_search",
]
