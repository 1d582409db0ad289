"""Bootstrap intervals of a mean over pairs, clustered by image or patient."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Bootstrap", "Interval"]

Interval = tuple[float, float]

RESAMPLES_PER_BATCH = 100  # bounds the memory, and is faster than a single batch
ROUNDING = 1e-9  # largest rounding error of scores, in percent or pixels


@dataclass(frozen=True)
class Bootstrap:
    """A cluster bootstrap: scipy's bias-corrected and accelerated (BCa) bootstrap over clusters of pairs.

    Clusters (images, volumes or patients) are drawn with replacement, each with all its pairs, because pairs of one
    cluster are not independent.

    Args:
        resamples: number of resamples, 1 or more.
        level: confidence level, above 0 and below 1.
        seed: random seed; the same seed and scores give the same interval.

    Raises:
        ValueError: when an argument is out of range.
    """

    resamples: int = 9999
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"resamples is {self.resamples}; it must be 1 or more.")
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level}; it must be above 0 and below 1.")

    def interval(self, values: Sequence[float], clusters: Sequence[str]) -> Interval | None:
        """Return the interval of the mean of all values, one for each pair; each pair belongs to a cluster.

        Returns:
            (low, high); None without values, with a single cluster, or where all clusters have the same mean.
        """
        sums, counts = cluster_sums(values, clusters)
        if len(sums) < 2 or is_rounding(np.ptp(sums / counts)):
            return None
        return self.interval_of(_ratio, (sums, counts), paired=True)

    def interval_of(
        self, statistic: Callable[..., np.ndarray], samples: Sequence[np.ndarray], paired: bool = False
    ) -> Interval | None:
        """Return the interval of a statistic.

        Args:
            statistic: function of the resampled samples and of the ``axis`` to reduce, vectorized as for scipy.
            samples: samples, which are drawn independently of each other.
            paired: whether they are of one length, and are drawn alike.

        Returns:
            (low, high); None where it is undefined.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            result = stats.bootstrap(
                samples,
                statistic,
                paired=paired,
                vectorized=True,
                n_resamples=self.resamples,
                batch=RESAMPLES_PER_BATCH,
                confidence_level=self.level,
                method="BCa",
                rng=np.random.default_rng(self.seed),
            )
        low, high = map(float, result.confidence_interval)
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def is_rounding(differences: np.ndarray | float) -> np.ndarray:
    """Return for each difference of scores whether it is a rounding error."""
    return np.abs(differences) < ROUNDING


def cluster_sums(values: Sequence[float], clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the count of each cluster's values, (C,) each, in the order of the clusters' names."""
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return np.bincount(index, weights=np.asarray(values, dtype=float)), np.bincount(index).astype(float)


def _ratio(sums: np.ndarray, counts: np.ndarray, axis: int) -> np.ndarray:
    return np.sum(sums, axis=axis) / np.sum(counts, axis=axis)
