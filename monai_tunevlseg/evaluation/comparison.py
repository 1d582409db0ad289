"""The comparison of two runs, or of two sets of runs with different seeds, on the same pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev

import numpy as np
from scipy import stats

from monai_tunevlseg.evaluation.bootstrap import Bootstrap, Interval, cluster_sums, is_rounding
from monai_tunevlseg.evaluation.crossed_bootstrap import crossed_mean
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairKey, PairScores, pair_name
from monai_tunevlseg.evaluation.score_table import ScoreTable, tabulate
from monai_tunevlseg.messages import shorten

__all__ = ["Comparison", "compare", "compare_runs", "compare_tables"]


@dataclass(frozen=True)
class Comparison:
    """The difference of two runs, or of two sets of runs, whose score of a pair is the mean over the runs.

    Attributes:
        metric: name of the compared score, one of ``PAIR_METRICS``.
        foreground_only: whether pairs with an empty mask are left out.
        pairs: number of pairs with a score in all runs.
        clusters: number of images, volumes or patients of these pairs.
        runs_a: number of runs of the first set.
        runs_b: number of runs of the second set.
        mean_a: mean of the first set's scores over these pairs.
        mean_b: mean of the second set's scores over these pairs.
        std_a: sample standard deviation of the means of the first set's runs; None for one run.
        std_b: sample standard deviation of the means of the second set's runs; None for one run.
        difference: ``mean_b - mean_a``.
        interval: bootstrap interval of the difference, over the seeds of several runs and over the clusters; None where
            it is undefined.
        p_value_seeds: p-value of the two-sided t-test of the difference over seeds and clusters; None where no set has
            several runs, or all differences are equal.
        wilcoxon_statistic: statistic of the two-sided signed-rank test over the clusters' mean differences, because
            pairs of one cluster are not independent; None when all differences are 0.
        p_value: p-value of that test, which takes the runs as they are: other seeds may differ.
        only_in_a: pairs that the second set does not have, left out.
        only_in_b: pairs that the first set does not have, left out.
        unmeasured: pairs without such a score in a run, such as a distance to an empty mask, left out.
    """

    metric: str
    foreground_only: bool
    pairs: int
    clusters: int
    runs_a: int
    runs_b: int
    mean_a: float
    mean_b: float
    std_a: float | None
    std_b: float | None
    difference: float
    interval: Interval | None
    p_value_seeds: float | None
    wilcoxon_statistic: float | None
    p_value: float | None
    only_in_a: list[str]
    only_in_b: list[str]
    unmeasured: list[str]


def compare(
    first: Sequence[PairScores],
    second: Sequence[PairScores],
    metric: str = "dice",
    foreground_only: bool = False,
    bootstrap: Bootstrap | None = None,
) -> Comparison:
    """Compare two runs on the pairs that both have, matched by image, slice and class name.

    Args:
        first: pairs of the first run, each pair once.
        second: pairs of the second run.
        metric: name of a score.
        foreground_only: leave out pairs with an empty mask.
        bootstrap: settings of the interval.

    Raises:
        ValueError: when the metric is unknown, the runs have no pair in common, or their masks differ, so that they
            were not measured on the same dataset.
    """
    return compare_runs([first], [second], metric, foreground_only, bootstrap)


def compare_runs(
    first: Sequence[Sequence[PairScores]],
    second: Sequence[Sequence[PairScores]],
    metric: str = "dice",
    foreground_only: bool = False,
    bootstrap: Bootstrap | None = None,
) -> Comparison:
    """Compare two sets of runs with different seeds; of equal numbers, run i of both has the same seed.

    Args:
        first: pairs of each run of the first set, one run or more.
        second: pairs of each run of the second set.
        metric: name of a score.
        foreground_only: leave out pairs with an empty mask.
        bootstrap: settings of the interval.

    Raises:
        ValueError: as for `compare`, and when the runs of a set have different pairs.
    """
    if metric not in PAIR_METRICS:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(PAIR_METRICS)}.")
    one, other = (_stacked(runs, metric) for runs in (first, second))
    matched = _match(one, other)
    if not _measured(matched, foreground_only).any():
        _raise_unmeasured(matched, foreground_only, _measured_in_all(first, second, matched[0].keys))
    return compare_tables(one, other, foreground_only, bootstrap)


def _stacked(runs: Sequence[Sequence[PairScores]], metric: str) -> ScoreTable:
    first, *others = (tabulate(pairs, metric) for pairs in runs)
    return first.stack(others)


def compare_tables(
    first: ScoreTable,
    second: ScoreTable,
    foreground_only: bool = False,
    bootstrap: Bootstrap | None = None,
    same_seeds: bool = True,
) -> Comparison:
    """Compare two tables of the same score.

    Args:
        first: the first set of runs.
        second: the second set of runs.
        foreground_only: leave out pairs with an empty mask in the first set.
        bootstrap: settings of the interval.
        same_seeds: whether, of equal numbers of runs, run i of both has the same seed, so that differences have one.

    Raises:
        ValueError: when the tables have no pair in common, none of them has the score in all runs, or masks differ.
    """
    matched = _match(first, second)
    measured = _measured(matched, foreground_only)
    if not measured.any():
        _raise_unmeasured(matched, foreground_only, [])
    left, right = (table.take(measured) for table in matched)
    wanted = matched[0].foreground if foreground_only else np.ones_like(measured)
    unmeasured = [pair_name(key) for key, left_out in zip(matched[0].keys, wanted & ~measured, strict=True) if left_out]
    known, others = set(first.keys), set(second.keys)
    return _compared(
        left,
        right,
        foreground_only,
        bootstrap or Bootstrap(),
        same_seeds,
        only_in_a=[pair_name(key) for key in first.keys if key not in others],
        only_in_b=[pair_name(key) for key in second.keys if key not in known],
        unmeasured=unmeasured,
    )


def _compared(
    first: ScoreTable,
    second: ScoreTable,
    foreground_only: bool,
    bootstrap: Bootstrap,
    same_seeds: bool,
    **left_out: list[str],
) -> Comparison:
    """Compare tables of the same measured pairs."""
    differences = _without_rounding(second.values.mean(axis=0) - first.values.mean(axis=0))
    sums, counts = cluster_sums(differences.tolist(), first.clusters)
    statistic, p_value = _wilcoxon(sums / counts)
    over_seeds = crossed_mean(_sides(first.values, second.values, same_seeds), first.clusters, bootstrap)
    (mean_a, std_a), (mean_b, std_b) = (_mean_and_std(table.values) for table in (first, second))
    return Comparison(
        first.score,
        foreground_only,
        pairs=len(first.keys),
        clusters=len(sums),
        runs_a=first.runs,
        runs_b=second.runs,
        mean_a=mean_a,
        mean_b=mean_b,
        std_a=std_a,
        std_b=std_b,
        difference=float(differences.mean()),
        interval=over_seeds.interval,
        p_value_seeds=over_seeds.p_value if max(first.runs, second.runs) > 1 else None,
        wilcoxon_statistic=statistic,
        p_value=p_value,
        **left_out,
    )


def _sides(first: np.ndarray, second: np.ndarray, same_seeds: bool) -> list[np.ndarray]:
    """Return the differences of the seeds, or both sets where their seeds differ, the first of them negative.

    Args:
        first: scores (S, P) of the first set.
        second: scores (T, P) of the second set.
        same_seeds: whether run i of both has the same seed if S = T.
    """
    if 1 in (len(first), len(second)) or (same_seeds and len(first) == len(second)):
        return [_without_rounding(second - first)]  # a single run is subtracted from all
    return [second, -first]


def _mean_and_std(values: np.ndarray) -> tuple[float, float | None]:
    of_runs = values.mean(axis=1).tolist()
    return float(values.mean()), stdev(of_runs) if len(of_runs) > 1 else None


def _measured(matched: tuple[ScoreTable, ScoreTable], foreground_only: bool) -> np.ndarray:
    """Return which common pairs are compared, (P,)."""
    first, second = matched
    measured = first.measured & second.measured
    return measured & first.foreground if foreground_only else measured


def _raise_unmeasured(matched: tuple[ScoreTable, ScoreTable], foreground_only: bool, others: Sequence[str]) -> None:
    left = " with foreground" if foreground_only else ""
    remedy = f"both have {', '.join(others)}" if others else "they have no score in common"
    count = len(matched[0].keys)
    raise ValueError(f"none of the {count} common pairs{left} has {matched[0].score!r} in both files; {remedy}.")


def _without_rounding(differences: np.ndarray) -> np.ndarray:
    """Return differences with rounding errors set to 0, so that interval and test agree."""
    return np.where(is_rounding(differences), 0.0, differences)


def _wilcoxon(differences: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    differences = _without_rounding(differences)
    if not differences.any():
        return None, None
    result = stats.wilcoxon(differences)
    statistic, p_value = float(result.statistic), float(result.pvalue)
    return (statistic, p_value) if math.isfinite(p_value) else (None, None)


def _match(first: ScoreTable, second: ScoreTable) -> tuple[ScoreTable, ScoreTable]:
    """Return the pairs of both tables, in the order of the first one.

    Runs on other pairs or masks are refused; areas at the model's resolution may differ between models.
    """
    if first.keys == second.keys:
        matched = first, second
    else:
        numbers = {key: number for number, key in enumerate(second.keys)}
        common = [number for number, key in enumerate(first.keys) if key in numbers]
        if not common:
            raise ValueError(
                f"the two files have no pair in common: one has {pair_name(first.keys[0])}, the other "
                f"{pair_name(second.keys[0])}."
            )
        theirs = [numbers[first.keys[number]] for number in common]
        matched = first.take(np.array(common)), second.take(np.array(theirs))
    left, right = matched
    differing = [pair_name(left.keys[number]) for number in np.flatnonzero(left.areas != right.areas).tolist()]
    if differing:
        raise ValueError(
            f"{len(differing)} of {len(left.keys)} common pairs have masks of different areas in the two files, so "
            f"that they were not measured on the same masks: {shorten(differing, most=3)}."
        )
    return matched


def _measured_in_all(
    first: Sequence[Sequence[PairScores]], second: Sequence[Sequence[PairScores]], common: Sequence[PairKey]
) -> list[str]:
    """Return the metrics that some common pair has in all runs."""
    runs = [{pair.key: pair for pair in pairs} for pairs in (*first, *second)]
    return [
        metric
        for metric in PAIR_METRICS
        if any(all(run[key].score(metric) is not None for run in runs) for key in common)
    ]
