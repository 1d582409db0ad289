"""A number of an experiment: its mean over seeds, their spread, and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

__all__ = ["Measure", "mean_measure", "stored_interval"]


@dataclass(frozen=True)
class Measure:
    """A number of an experiment.

    Attributes:
        value: mean over the seeds; None if it is undefined for all of them.
        std: sample standard deviation over the seeds; None for one seed.
        interval: 95 % bootstrap interval of the mean over images or patients; None where unknown.
    """

    value: float | None
    std: float | None = None
    interval: tuple[float, float] | None = None


def mean_measure(values: Sequence[float | None], interval: tuple[float, float] | None = None) -> Measure:
    """Return the measure of the values of the seeds, of which undefined ones are left out."""
    known = [value for value in values if value is not None]
    std = stdev(known) if len(known) > 1 else None
    return Measure(fmean(known) if known else None, std, interval)


def stored_interval(intervals: Any, name: str) -> tuple[float, float] | None:
    """Return an interval of ``metrics.json`` by its name; None if it has none."""
    match intervals.get(name) if isinstance(intervals, Mapping) else None:
        case [int() | float() as low, int() | float() as high]:
            return float(low), float(high)
    return None
