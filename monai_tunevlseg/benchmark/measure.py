"""A number of an experiment: its mean over seeds, their spread, and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

__all__ = ["Measure", "mean_measure"]


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
