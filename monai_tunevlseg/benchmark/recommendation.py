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
    """

    dataset: str
    curve: Curve
    rivals: Sequence[Curve]
    others: int

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
        named = [f"{curve.title} ({number_text(curve.most.dice.value, 1)})" for curve in self.rivals[:NAMED]]
        named += [f"{len(self.rivals) - NAMED} more"] if len(self.rivals) > NAMED else []
        listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
        return f"It is not sure to be the best: the intervals of {listed} overlap with this one."

    @property
    def images_text(self) -> str:
        """How many images are enough; empty without runs with fewer images."""
        return "" if self.curve.points[0].num_shots is None else enough_text(self.curve)

    @property
    def text(self) -> str:
        """All of it in sentences that follow the title of the method."""
        return " ".join(part for part in (self.dice_text, self.sureness_text, self.images_text) if part)


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
            recommended.append(Recommendation(dataset.dataset, best, rivals, len(others)))
    return recommended


def _shots(curve: Curve) -> float:
    return curve.most.num_shots or math.inf


def _dice(curve: Curve) -> float:
    return curve.most.dice.value or 0.0


def _overlap(one: Measure, other: Measure) -> bool:
    if one.interval is None or other.interval is None:
        return True
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]
