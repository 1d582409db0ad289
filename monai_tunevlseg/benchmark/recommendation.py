"""What to do with data like those of each dataset: which method, how many images, what Dice, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monai_tunevlseg.benchmark.formatting import number_text
from monai_tunevlseg.benchmark.learning_curves import Curve, DatasetCurves, enough_text, images_text
from monai_tunevlseg.benchmark.measure import Measure

__all__ = ["Recommendation", "recommend"]

NAMED = 3  # rivals that a sentence names; the tables have all


@dataclass(frozen=True)
class Recommendation:
    """The best method of a dataset, with as many images as it was trained with at most.

    Attributes:
        dataset: name of the dataset.
        curve: the experiment with the highest Dice.
        rivals: the other experiments that were trained with as many images and whose intervals overlap with its
            interval, by Dice; an unknown interval counts as overlapping.
        others: number of the other experiments with as many images.
        untrained: the experiment without training that has the highest Dice, if its interval is not below that of the
            best one; None without such an experiment.
    """

    dataset: str
    curve: Curve
    rivals: Sequence[Curve]
    others: int
    untrained: Curve | None = None

    @property
    def dice_text(self) -> str:
        """The images, the Dice, its interval, and what these are over."""
        point, images = self.curve.most, images_text(self.curve, self.curve.most)
        interval = point.dice.interval
        known = "no interval" if interval is None else "95 % interval {:.1f} to {:.1f}".format(*interval)
        tested = "" if point.test_images is None else f", {point.test_images} test images"
        seeds = f"{point.runs} seed{'s' if point.runs > 1 else ''}"
        return f"Trained with {images}, its Dice is {number_text(point.dice.value, 1)} ({known}; {seeds}{tested})."

    @property
    def sureness_text(self) -> str:
        """Whether another method could be as good."""
        if not self.others:
            return "No other method was trained with as many images."
        if not self.rivals:
            return "No interval of another method overlaps with this one."
        if self.curve.most.dice.interval is None:
            return "It is not sure to be the best, because its interval is not known."
        known = [curve for curve in self.rivals if curve.most.dice.interval is not None]
        unknown = [curve for curve in self.rivals if curve not in known]
        reasons = [f"{_intervals_of(known)} overlap{'s' * (len(known) == 1)} with this one"] if known else []
        reasons += [f"{_intervals_of(unknown)} {'is' if len(unknown) == 1 else 'are'} not known"] if unknown else []
        return f"It is not sure to be the best: {', and '.join(reasons)}."

    @property
    def untrained_text(self) -> str:
        """What the base model reaches without training; empty where training is clearly better."""
        return "" if self.untrained is None else f"Without training, {_named(self.untrained)} is not clearly below it."

    @property
    def images_text(self) -> str:
        """How many images are enough; empty without runs with fewer images."""
        return "" if self.curve.points[0].num_shots is None else enough_text(self.curve)

    @property
    def text(self) -> str:
        """All of it in sentences that follow the title of the method."""
        parts = (self.dice_text, self.sureness_text, self.untrained_text, self.images_text)
        return " ".join(part for part in parts if part)


def recommend(datasets: Sequence[DatasetCurves]) -> list[Recommendation]:
    """Return the best experiment of each dataset among those with the most images; none where nothing was trained."""
    recommended = []
    for dataset in datasets:
        trained = [curve for curve in dataset.curves if curve.trains]
        most = max((_shots(curve) for curve in trained), default=0)
        alike = sorted((curve for curve in trained if _shots(curve) == most), key=_dice, reverse=True)
        if alike:
            best, *others = alike
            rivals = [curve for curve in others if _overlap(curve.most.dice, best.most.dice)]
            untrained = max(dataset.untrained, key=_dice, default=None)
            if untrained is not None and _below(untrained.most.dice, best.most.dice):
                untrained = None
            recommended.append(Recommendation(dataset.dataset, best, rivals, len(others), untrained))
    return recommended


def _named(curve: Curve) -> str:
    return f"{curve.title} ({number_text(curve.most.dice.value, 1)})"


def _intervals_of(curves: Sequence[Curve]) -> str:
    """Return "the interval of A (80.0)" or "the intervals of A (80.0), B (79.0) and 3 more"."""
    named = [_named(curve) for curve in curves[:NAMED]]
    named += [f"{len(curves) - NAMED} more"] if len(curves) > NAMED else []
    if len(named) == 1:
        return f"the interval of {named[0]}"
    return f"the intervals of {', '.join(named[:-1])} and {named[-1]}"


def _shots(curve: Curve) -> float:
    return curve.most.num_shots or math.inf


def _dice(curve: Curve) -> float:
    return curve.most.dice.value or 0.0


def _overlap(one: Measure, other: Measure) -> bool:
    if one.interval is None or other.interval is None:
        return True
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]


def _below(one: Measure, other: Measure) -> bool:
    """Return whether the interval of one is below that of the other."""
    return one.interval is not None and other.interval is not None and one.interval[1] < other.interval[0]
