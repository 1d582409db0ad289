"""The comparison of two runs on the same pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from monai_tunevlseg.evaluation.bootstrap import Bootstrap, Interval, cluster_sums, is_rounding
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairScores
from monai_tunevlseg.messages import shorten

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """The difference of two runs.

    Attributes:
        metric: name of the compared score, one of ``PAIR_METRICS``.
        foreground_only: whether pairs with an empty mask are left out.
        pairs: number of pairs with a score in both runs.
        clusters: number of images, volumes or patients of these pairs.
        mean_a: mean of the first run's scores over these pairs.
        mean_b: mean of the second run's scores over these pairs.
        difference: ``mean_b - mean_a``.
        interval: bootstrap interval of the difference; None where it is undefined.
        wilcoxon_statistic: statistic of the two-sided signed-rank test over the clusters' mean differences, because
            pairs of one cluster are not independent; None when all differences are 0.
        p_value: p-value of that test.
        only_in_a: pairs that the second run does not have, left out.
        only_in_b: pairs that the first run does not have, left out.
        unmeasured: pairs without such a score in a run, such as a distance to an empty mask, left out.
    """

    metric: str
    foreground_only: bool
    pairs: int
    clusters: int
    mean_a: float
    mean_b: float
    difference: float
    interval: Interval | None
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
    if metric not in PAIR_METRICS:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(PAIR_METRICS)}.")
    mine, theirs = ({pair.key: pair for pair in pairs} for pairs in (first, second))
    common = [key for key in mine if key in theirs]
    _check_masks(first, second, [(mine[key], theirs[key]) for key in common])
    chosen = [key for key in common if not foreground_only or mine[key].has_foreground(metric)]
    scores = {key: (mine[key].score(metric), theirs[key].score(metric)) for key in chosen}
    measured = {key: (a, b) for key, (a, b) in scores.items() if a is not None and b is not None}
    if not measured:
        left = " with foreground" if foreground_only else ""
        others = _measured_in_both([(mine[key], theirs[key]) for key in common])
        remedy = f"both have {', '.join(others)}" if others else "they have no score in common"
        raise ValueError(f"none of the {len(common)} common pairs{left} has {metric!r} in both files; {remedy}.")
    return _compared(
        metric,
        foreground_only,
        [mine[key].cluster for key in measured],
        np.array(list(measured.values()), dtype=float),
        bootstrap or Bootstrap(),
        only_in_a=[_name(key) for key in mine if key not in theirs],
        only_in_b=[_name(key) for key in theirs if key not in mine],
        unmeasured=[_name(key) for key in chosen if key not in measured],
    )


def _compared(
    metric: str,
    foreground_only: bool,
    clusters: Sequence[str],
    scores: np.ndarray,
    bootstrap: Bootstrap,
    **left_out: list[str],
) -> Comparison:
    """Compare scores (P, 2) of P pairs in clusters."""
    differences = _without_rounding(scores[:, 1] - scores[:, 0])
    sums, counts = cluster_sums(differences.tolist(), clusters)
    statistic, p_value = _wilcoxon(sums / counts)
    return Comparison(
        metric,
        foreground_only,
        pairs=len(scores),
        clusters=len(sums),
        mean_a=float(scores[:, 0].mean()),
        mean_b=float(scores[:, 1].mean()),
        difference=float(differences.mean()),
        interval=bootstrap.interval(differences.tolist(), clusters),
        wilcoxon_statistic=statistic,
        p_value=p_value,
        **left_out,
    )


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


def _check_masks(
    first: Sequence[PairScores], second: Sequence[PairScores], matched: Sequence[tuple[PairScores, PairScores]]
) -> None:
    """Refuse runs on other pairs or masks; areas at the model's resolution may differ between models."""
    if not matched:
        raise ValueError(
            f"the two files have no pair in common: one has {_name(first[0].key)}, the other {_name(second[0].key)}."
        )
    differing = [_name(a.key) for a, b in matched if a.label_pixels_original != b.label_pixels_original]
    if differing:
        raise ValueError(
            f"{len(differing)} of {len(matched)} common pairs have masks of different areas in the two files, so that "
            f"they were not measured on the same masks: {shorten(differing, most=3)}."
        )


def _measured_in_both(matched: Sequence[tuple[PairScores, PairScores]]) -> list[str]:
    """Return the metrics that some pair has in both runs."""
    return [
        name
        for name in PAIR_METRICS
        if any(None not in (first.score(name), second.score(name)) for first, second in matched)
    ]


def _name(key: tuple[str, int | None, str]) -> str:
    image, number, class_name = key
    return f"{image}{'' if number is None else f' slice {number}'} {class_name!r}"
