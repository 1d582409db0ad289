"""Means over pairs, with and without empty masks, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairScores

__all__ = ["summarize"]


def summarize(pairs: Sequence[PairScores], scores: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """Return counts, and the mean, standard deviation and interval of every score.

    Args:
        pairs: one or more pairs.
        scores: names of the measured scores, of ``PAIR_METRICS``.
        bootstrap: settings of the intervals.

    Returns:
        ``pairs``, ``pairs_with_foreground`` and ``pairs_with_foreground_original`` (a small mask can vanish at the
        model's resolution), ``images``, ``clusters``; for each score, such as ``dice``, the mean over all pairs and, as
        ``dice_foreground``, over the pairs with foreground; for scores that are undefined for some pairs, such as
        ``hd95``, the mean over the others and their number, ``pairs_with_hd95``; ``standard_deviations`` over pairs and
        ``intervals`` [low, high], by the same names. Undefined values are None.

    Raises:
        ValueError: when ``pairs`` is empty.
    """
    if not pairs:
        raise ValueError("no pair to summarize; the split is empty.")
    means: dict[str, float | int | None] = {}
    deviations: dict[str, float | None] = {}
    intervals: dict[str, list[float] | None] = {}
    for name, chosen in _columns(pairs, scores).items():
        values = [value for _, value in chosen]
        means[name] = fmean(values) if values else None
        deviations[name] = stdev(values) if len(values) > 1 else None
        of_all = name.removesuffix("_foreground")
        if of_all != name and len(values) == len(pairs):  # no mask is empty: the same interval
            intervals[name] = intervals[of_all]
            continue
        interval = bootstrap.interval(values, [pair.cluster for pair, _ in chosen])
        intervals[name] = list(interval) if interval else None
        if name in PAIR_METRICS and PAIR_METRICS[name].needs_both:
            means[f"pairs_with_{name}"] = len(values)
    return {**_counts(pairs), **means, "standard_deviations": deviations, "intervals": intervals}


def _counts(pairs: Sequence[PairScores]) -> dict[str, int]:
    return {
        "pairs": len(pairs),
        "pairs_with_foreground": sum(pair.label_pixels > 0 for pair in pairs),
        "pairs_with_foreground_original": sum(pair.label_pixels_original > 0 for pair in pairs),
        "images": len({pair.image for pair in pairs}),
        "clusters": len({pair.cluster for pair in pairs}),
    }


def _columns(pairs: Sequence[PairScores], scores: Sequence[str]) -> dict[str, list[tuple[PairScores, float]]]:
    """Return the pairs and values of each mean."""
    columns = {}
    for name in scores:
        columns[name] = [(pair, value) for pair in pairs if (value := pair.score(name)) is not None]
        if not PAIR_METRICS[name].needs_both:
            columns[f"{name}_foreground"] = [item for item in columns[name] if item[0].has_foreground(name)]
    return columns
