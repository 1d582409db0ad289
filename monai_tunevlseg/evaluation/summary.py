"""Means over cases, with and without empty masks side by side, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairScores

__all__ = ["summarize"]


def summarize(cases: Sequence[PairScores], scores: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """Return counts, and the mean, standard deviation and interval of every score.

    Args:
        cases: one or more.
        scores: names of the scores that were measured, of ``PAIR_METRICS``.
        bootstrap: how intervals are drawn.

    Returns:
        ``pairs``, ``pairs_with_foreground`` and ``pairs_with_foreground_original`` (a small mask can vanish at the
        model's resolution), ``images``, ``clusters``; for each score, such as ``dice``, the mean over all pairs and, as
        ``dice_foreground``, over those whose mask is not empty; for scores that some pairs do not have, such as
        ``hd95``, the mean over those that do and their number, ``pairs_with_hd95``; ``standard_deviations`` over pairs
        and ``intervals`` [low, high], by the same names. What cannot be told is None.

    Raises:
        ValueError: when there is no case.
    """
    if not cases:
        raise ValueError("there is no case to summarize; the split is empty.")
    means: dict[str, float | int | None] = {}
    deviations: dict[str, float | None] = {}
    intervals: dict[str, list[float] | None] = {}
    for name, chosen in _columns(cases, scores).items():
        values = [value for _, value in chosen]
        means[name] = fmean(values) if values else None
        deviations[name] = stdev(values) if len(values) > 1 else None
        of_all = name.removesuffix("_foreground")
        if of_all != name and len(values) == len(cases):  # no mask is empty: nothing new to draw
            intervals[name] = intervals[of_all]
            continue
        interval = bootstrap.interval(values, [case.cluster for case, _ in chosen])
        intervals[name] = list(interval) if interval else None
        if name in PAIR_METRICS and PAIR_METRICS[name].needs_both:
            means[f"pairs_with_{name}"] = len(values)
    return {**_counts(cases), **means, "standard_deviations": deviations, "intervals": intervals}


def _counts(cases: Sequence[PairScores]) -> dict[str, int]:
    return {
        "pairs": len(cases),
        "pairs_with_foreground": sum(case.label_pixels > 0 for case in cases),
        "pairs_with_foreground_original": sum(case.label_pixels_original > 0 for case in cases),
        "images": len({case.image for case in cases}),
        "clusters": len({case.cluster for case in cases}),
    }


def _columns(cases: Sequence[PairScores], scores: Sequence[str]) -> dict[str, list[tuple[PairScores, float]]]:
    """Return the cases that each of the report's means is over, with their values."""
    columns = {}
    for name in scores:
        columns[name] = [(case, value) for case in cases if (value := case.score(name)) is not None]
        if not PAIR_METRICS[name].needs_both:
            columns[f"{name}_foreground"] = [item for item in columns[name] if item[0].has_foreground(name)]
    return columns
