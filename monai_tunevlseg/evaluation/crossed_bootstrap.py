"""Intervals over training seeds and test cases together, for several runs on the same cases.

Every run is tested on the same cases, so that seeds and cases are crossed, not nested as in the hierarchical bootstrap
of Saravanan et al. (2020). The score of a run on a case is a mean plus effects of the seed, of the case and of both:
the two-way random effects that studies with several readers have for readers and cases (Hillis 2007, "A comparison of
denominator degrees of freedom methods for multiple observer ROC analysis").

- Seeds and clusters of cases are drawn with replacement, independently of each other: the pigeonhole bootstrap of Owen
  (2007, "The pigeonhole bootstrap").
- Alone it fails for a few seeds: it divides by S in place of S - 1, hardly leaves the range of S values, and counts
  the joint effect of seeds and cases three times. With three seeds whose spread dominates, its 95 % interval holds the
  true mean in 75 % of simulations. So the resamples are stretched to the unbiased variance of the mean and to the
  quantile of Student's t with Satterthwaite's degrees of freedom, which Hesterberg (2015, "What teachers should know
  about the bootstrap") proposes for small samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from monai_tunevlseg.evaluation.bootstrap import Bootstrap, Interval, is_rounding

__all__ = ["CrossedMean", "crossed_mean"]


@dataclass(frozen=True)
class CrossedMean:
    """A mean over seeds and cases, or the difference of two.

    Attributes:
        value: the mean.
        interval: interval over seeds and cases; None where it is undefined.
        seed_error: standard error that comes from the seeds, alone and together with the cases; 0 for single runs.
        case_error: standard error that comes from the cases alone.
        degrees_of_freedom: Satterthwaite's, of the whole standard error.
    """

    value: float
    interval: Interval | None
    seed_error: float
    case_error: float
    degrees_of_freedom: float

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over seeds and cases."""
        return math.hypot(self.seed_error, self.case_error)

    @property
    def seed_share(self) -> float | None:
        """Share of the seeds in the variance of the mean, 0 to 1; None where all scores are equal."""
        variance = self.standard_error**2
        return self.seed_error**2 / variance if variance else None

    def interval_within(self, low: float, high: float) -> Interval | None:
        """Return the interval cut to the range of the scores."""
        return None if self.interval is None else (max(low, self.interval[0]), min(high, self.interval[1]))

    @property
    def p_value(self) -> float | None:
        """p-value of the two-sided t-test of a mean of 0 over seeds and cases; None where all scores are equal."""
        if is_rounding(self.standard_error):
            return None
        return float(2 * special.stdtr(self.degrees_of_freedom, -abs(self.value) / self.standard_error))


def crossed_mean(sides: Sequence[np.ndarray], clusters: Sequence[str], bootstrap: Bootstrap) -> CrossedMean:
    """Return the mean over the runs and pairs of a side, or the sum of the means of several sides.

    A difference of two sets of runs with the same seeds is one side, with the differences of each seed. With other
    seeds, whose effects are independent, it has two sides, one of them negative. A side of a single run has no known
    spread of its seeds and is taken as it is. Without a side of several runs, the interval is that of ``bootstrap``.

    Args:
        sides: scores (S, P) of each side's S runs on the same P pairs, one or more.
        clusters: cluster of each pair.
        bootstrap: settings of the interval.
    """
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    counts = np.bincount(index).astype(float)
    sums = [np.stack([np.bincount(index, weights=run) for run in side]) for side in sides]  # (S, C)
    means = [side.sum() / (len(side) * counts.sum()) for side in sums]
    effects = [side - mean * counts for side, mean in zip(sums, means, strict=True)]  # of each side sum to 0
    value = float(sum(means))
    if len(counts) < 2:
        return CrossedMean(value, None, 0.0, 0.0, math.inf)
    # Contributions to the mean; with clusters of different sizes it is a ratio, which is linear nearby.
    seed_parts, case_part = _variances([effect * len(counts) / counts.sum() for effect in effects])
    total = sum(variance for variance, _ in seed_parts) + case_part[0]
    degrees = _degrees_of_freedom([*seed_parts, case_part])
    if seed_parts:
        interval = _interval(effects, counts, bootstrap, math.sqrt(total), degrees)
    else:
        interval = bootstrap.interval(sum(side[0] for side in sides).tolist(), clusters)
    if interval is not None and seed_parts:
        interval = value + interval[0], value + interval[1]
    seed_error = math.sqrt(sum(variance for variance, _ in seed_parts))
    return CrossedMean(value, interval, seed_error, math.sqrt(case_part[0]), degrees)


_Part = tuple[float, float]  # variance of the mean and its degrees of freedom


def _variances(effects: Sequence[np.ndarray]) -> tuple[list[_Part], _Part]:
    """Return the variance of the mean by the seeds of each side of several runs, and by the cases.

    Args:
        effects: contributions (S, C) of each side's runs and clusters, whose mean is 0.
    """
    clusters = effects[0].shape[1]
    cases = sum(effect.mean(axis=0) for effect in effects)
    from_cases = float(np.sum(cases**2)) / (clusters - 1) / clusters
    parts: list[_Part] = []
    for effect in effects:
        runs = len(effect)
        if runs > 1:
            of_seeds = effect.mean(axis=1, keepdims=True)
            joint = effect - of_seeds - effect.mean(axis=0)
            parts.append((float(np.var(of_seeds, ddof=1)) / runs, runs - 1))
            from_cases -= float(np.sum(joint**2)) / ((runs - 1) * (clusters - 1) * runs * clusters)  # is in both
    return parts, (max(0.0, from_cases), clusters - 1)


def _degrees_of_freedom(parts: Sequence[_Part]) -> float:
    """Return Satterthwaite's degrees of freedom of a sum of variances; infinite where all are 0."""
    spread = sum(variance**2 / degrees for variance, degrees in parts)
    return sum(variance for variance, _ in parts) ** 2 / spread if spread else math.inf


def _interval(
    effects: Sequence[np.ndarray], counts: np.ndarray, bootstrap: Bootstrap, error: float, degrees: float
) -> Interval | None:
    """Return the interval around the mean of resampled seeds and cases, stretched to a standard error and its t."""
    if is_rounding(error):
        return None
    drawn = _drawn_cases(len(counts), bootstrap.resamples, bootstrap.seed)  # (C, R)
    rng = np.random.default_rng(bootstrap.seed + 1)
    draws = np.zeros(bootstrap.resamples)
    for effect in effects:
        runs = len(effect)
        seeds = rng.multinomial(runs, np.full(runs, 1 / runs), bootstrap.resamples)  # (R, S)
        draws += np.einsum("rs,sr->r", seeds / runs, effect.astype(np.float32) @ drawn)
    draws /= counts.astype(np.float32) @ drawn
    spread = float(draws.std())
    if is_rounding(spread):
        return None
    upper = (1 + bootstrap.level) / 2
    stretch = error / spread * special.stdtrit(degrees, upper) / special.ndtri(upper)
    low, high = np.quantile(draws, [1 - upper, upper]) * stretch
    return float(low), float(high)


@lru_cache(maxsize=8)  # a report asks for the same cases of each method
def _drawn_cases(clusters: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each resample draws each cluster, (C, R)."""
    drawn = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), resamples)
    return np.ascontiguousarray(drawn.T, dtype=np.float32)
