"""In-domain and out-of-domain scores of a run, their harmonic mean, and its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from monai_tunevlseg.evaluation import PAIR_METRICS, Bootstrap, PairScores
from monai_tunevlseg.evaluation.bootstrap import Interval, cluster_sums, is_rounding

__all__ = ["METRICS", "TransferSummary", "summarize_metrics", "summarize_transfer"]

METRICS = tuple(
    name
    for metric, facts in PAIR_METRICS.items()
    if facts.unit == "%" and not facts.needs_both
    for name in (metric, f"{metric}_foreground")
)
"""The scores that are summarized: percentages, of which higher ones are better."""

Sums = tuple[np.ndarray, np.ndarray]  # of each cluster's values, and their counts, (C,) each


@dataclass(frozen=True)
class TransferSummary:
    """The scores of one metric, in percent.

    Attributes:
        id: in-domain: the mean over the pairs of the source's test split.
        ood: out-of-domain: the mean over the targets, each of which counts the same.
        harmonic_mean: the harmonic mean of both, as for base and novel classes in Zhou et al., Conditional Prompt
            Learning for Vision-Language Models, CVPR 2022, which is low when one of them is.
        id_interval: (low, high) of ``id``; None where undefined, as the others.
        ood_interval: that of ``ood``.
        harmonic_mean_interval: that of ``harmonic_mean``.
    """

    id: float
    ood: float
    harmonic_mean: float
    id_interval: Interval | None
    ood_interval: Interval | None
    harmonic_mean_interval: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def summarize_transfer(
    source: Sequence[PairScores], targets: Sequence[Sequence[PairScores]], metric: str, bootstrap: Bootstrap
) -> TransferSummary | None:
    """Summarize the pairs of a source's test split, and of one or more targets.

    Intervals are those of scipy's bias-corrected and accelerated bootstrap: the clusters (images, volumes or patients)
    of each dataset are drawn with replacement, independently of the other datasets. The targets themselves are not
    drawn: the interval is about other images of these targets, not about other targets.

    Args:
        source: pairs of the source.
        targets: pairs of each target.
        metric: one of ``METRICS``.
        bootstrap: settings of the intervals.

    Returns:
        the summary; None when a dataset has no pair with this score.
    """
    sums = [_sums(pairs, metric) for pairs in (source, *targets)]
    if not all(len(totals) for totals, _ in sums):
        return None
    whole = [np.arange(len(totals)) for totals, _ in sums]
    ood, both = partial(_ood, sums[1:]), partial(_harmonic_mean, sums)
    return TransferSummary(
        id=float(_means(sums[:1], whole[:1])[0]),
        ood=float(ood(*whole[1:])),
        harmonic_mean=float(both(*whole)),
        id_interval=_interval(partial(_ood, sums[:1]), sums[:1], bootstrap),
        ood_interval=_interval(ood, sums[1:], bootstrap),
        harmonic_mean_interval=_interval(both, sums, bootstrap),
    )


def summarize_metrics(
    source: Sequence[PairScores], targets: Sequence[Sequence[PairScores]], bootstrap: Bootstrap
) -> dict[str, TransferSummary]:
    """Return the summaries of all measured metrics by name; the arguments are those of `summarize_transfer`."""
    found: dict[str, TransferSummary | None] = {}
    for name in METRICS:
        score = name.removesuffix("_foreground")
        if name != score and all(pair.has_foreground(score) for pairs in (source, *targets) for pair in pairs):
            found[name] = found[score]  # no mask is empty
        else:
            found[name] = summarize_transfer(source, targets, name, bootstrap)
    return {name: summary for name, summary in found.items() if summary is not None}


def _sums(pairs: Sequence[PairScores], metric: str) -> Sums:
    score = metric.removesuffix("_foreground")
    chosen = [pair for pair in pairs if score == metric or pair.has_foreground(score)]
    found = [(value, pair.cluster) for pair in chosen if (value := pair.score(score)) is not None]
    return cluster_sums([value for value, _ in found], [cluster for _, cluster in found])


def _means(sums: Sequence[Sums], drawn: Sequence[np.ndarray], axis: int = -1) -> np.ndarray:
    """Return the mean of each of D datasets over its drawn clusters, (D, ...)."""
    return np.stack(
        [
            totals[clusters].sum(axis=axis) / counts[clusters].sum(axis=axis)
            for (totals, counts), clusters in zip(sums, drawn, strict=True)
        ]
    )


def _ood(sums: Sequence[Sums], *drawn: np.ndarray, axis: int = -1) -> np.ndarray:
    return _means(sums, drawn, axis).mean(axis=0)


def _harmonic_mean(sums: Sequence[Sums], *drawn: np.ndarray, axis: int = -1) -> np.ndarray:
    means = _means(sums, drawn, axis)
    return stats.hmean(np.stack([means[0], means[1:].mean(axis=0)]), axis=0)


def _interval(statistic: Callable[..., np.ndarray], sums: Sequence[Sums], bootstrap: Bootstrap) -> Interval | None:
    constant = all(is_rounding(np.ptp(totals / counts)) for totals, counts in sums)
    if constant or any(len(totals) < 2 for totals, _ in sums):
        return None
    return bootstrap.interval_of(statistic, [np.arange(len(totals)) for totals, _ in sums])
