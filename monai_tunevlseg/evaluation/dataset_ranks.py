"""Several methods compared over several datasets, by their ranks on each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["DatasetRanks", "rank_over_datasets"]

DECIMALS = 6  # of scores in percent; a smaller difference is a rounding error


@dataclass(frozen=True)
class DatasetRanks:
    """The ranks of methods over datasets.

    Attributes:
        mean_ranks: mean rank of each method over the datasets, from the best, which is 1 at least.
        datasets: number of datasets.
        p_value: p-value of the hypothesis that all methods are equal; None where all have the same scores.
        critical_difference: difference of two mean ranks that is significant.
        groups: longest groups of two or more methods without a significant difference of their mean ranks.
    """

    mean_ranks: Mapping[str, float]
    datasets: int
    p_value: float | None
    critical_difference: float
    groups: Sequence[Sequence[str]]

    @property
    def can_differ(self) -> bool:
        """Whether there are enough datasets for any two of the methods to differ significantly."""
        return self.critical_difference < len(self.mean_ranks) - 1


def rank_over_datasets(scores: Mapping[str, Sequence[float]], level: float = 0.05) -> DatasetRanks:
    """Rank methods on each dataset, and compare their mean ranks.

    The tests are those of Demsar (2006), "Statistical comparisons of classifiers over multiple data sets", section 3.2:
    Friedman's test in the form of Iman and Davenport, and Nemenyi's critical difference. A rank depends on all methods
    that take part (Benavoli et al. 2016); the difference of two methods alone is tested by their paired comparison.

    Args:
        scores: scores of three or more methods on the same two or more datasets; higher is better.
        level: probability of one or more wrong differences.

    Raises:
        ValueError: when there are too few methods or datasets, or the numbers of datasets differ.
    """
    counts = {len(of_method) for of_method in scores.values()}
    if len(scores) < 3 or len(counts) != 1 or min(counts) < 2:
        raise ValueError(
            f"ranks need 3 or more methods with scores on the same 2 or more datasets, not {len(scores)} methods with "
            f"{', '.join(map(str, sorted(counts))) or 'no'} scores."
        )
    table = np.round(np.array(list(scores.values()), dtype=float), DECIMALS)  # (methods, datasets)
    means = stats.rankdata(-table, axis=0).mean(axis=1)
    mean_ranks = {name: float(rank) for rank, name in sorted(zip(means, scores, strict=True), key=lambda item: item[0])}
    methods, datasets = table.shape
    difference = nemenyi_difference(methods, datasets, level)
    return DatasetRanks(mean_ranks, datasets, _iman_davenport(table), difference, _groups(mean_ranks, difference))


def nemenyi_difference(methods: int, datasets: int, level: float = 0.05) -> float:
    """Return the critical difference of mean ranks: q * sqrt(k (k + 1) / (6 N)), with q of the studentized range."""
    quantile = stats.studentized_range.ppf(1 - level, methods, math.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(methods * (methods + 1) / (6 * datasets)))


def _iman_davenport(table: np.ndarray) -> float | None:
    """Return the p-value of scores (k, N), from an F distribution, which is less conservative than Friedman's."""
    methods, datasets = table.shape
    if not np.ptp(table, axis=0).any():
        return None
    chi_squared = float(stats.friedmanchisquare(*table).statistic)
    room = datasets * (methods - 1) - chi_squared  # 0 where all datasets rank the methods alike
    statistic = (datasets - 1) * chi_squared / room if room > 1e-9 else math.inf
    return float(stats.f.sf(statistic, methods - 1, (methods - 1) * (datasets - 1)))


def _groups(mean_ranks: Mapping[str, float], difference: float) -> list[list[str]]:
    """Return the longest runs of methods, from the best, whose ends do not differ."""
    names = list(mean_ranks)
    groups: list[list[str]] = []
    end = 0
    for start, name in enumerate(names):
        stop = sum(rank - mean_ranks[name] < difference for rank in mean_ranks.values()) - 1
        if stop > max(start, end):
            groups.append(names[start : stop + 1])
        end = max(end, stop)
    return groups
