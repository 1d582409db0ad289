"""Learning curves: Dice against the number of training images, for the experiments of each dataset."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from monai_tunevlseg.benchmark.experiment_order import ordered_datasets, variant_order
from monai_tunevlseg.benchmark.experiment_spec import MAIN_TABLE, ExperimentSpec
from monai_tunevlseg.benchmark.formatting import number_text
from monai_tunevlseg.benchmark.measure import Measure, mean_measure, stored_interval
from monai_tunevlseg.benchmark.results_folder import METRICS, ExperimentResult
from monai_tunevlseg.benchmark.seed_runs import ExperimentScores, group_seeds
from monai_tunevlseg.evaluation import Bootstrap, mean_over_seeds

__all__ = [
    "REACHED",
    "RESAMPLES",
    "Curve",
    "CurvePoint",
    "DatasetCurves",
    "build_learning_curves",
    "enough_text",
    "images_text",
]

REACHED = 0.95
"""Share of the Dice with all images that makes a smaller number of images enough."""

RESAMPLES = 999  # sufficient for one decimal; a report has up to a thousand points
Interval = tuple[float, float]


@dataclass(frozen=True)
class CurvePoint:
    """An experiment with one number of training images, over its seeds.

    Attributes:
        num_shots: number of training images per class; None = all.
        images: number of training images, or of volumes, as the mean over the seeds; None where unknown.
        runs: number of seeds.
        test_images: number of images of the test split; None where unknown.
        dice: the metric of the report, in percent.
        classes: the same for each class; empty for one class.
    """

    num_shots: int | None
    images: float | None
    runs: int
    test_images: int | None
    dice: Measure
    classes: Mapping[str, Measure]

    def dice_of(self, class_name: str | None) -> Measure | None:
        """Return the Dice of a class, or over all classes for None; None where the class has none."""
        return self.dice if class_name is None else self.classes.get(class_name)


@dataclass(frozen=True)
class Curve:
    """An experiment with several numbers of training images.

    Attributes:
        title: titles of model and method, with the variant.
        trains: whether the experiment trains; zero-shot has one point.
        points: the points, from few images to all.
    """

    title: str
    trains: bool
    points: Sequence[CurvePoint]

    @property
    def most(self) -> CurvePoint:
        """The point with the most images."""
        return self.points[-1]

    @property
    def target(self) -> float | None:
        """The Dice that is enough: `REACHED` of that with all images; None where it is unknown."""
        full = self.most
        return None if full.num_shots is not None or full.dice.value is None else REACHED * full.dice.value

    def smallest(self, accept: Callable[[Interval, float], bool]) -> CurvePoint | None:
        """Return the point with the fewest images whose interval, with the target, is accepted; None if none is."""
        if self.target is None:
            return None
        known = ((point, point.dice.interval) for point in self.points)
        return next((point for point, interval in known if interval and accept(interval, self.target)), None)


@dataclass(frozen=True)
class DatasetCurves:
    """The experiments of one dataset.

    Attributes:
        dataset: name of the dataset.
        curves: experiments, zero-shot first, each variant below the experiment that it changes.
        class_names: names of the classes; empty for one class.
    """

    dataset: str
    curves: Sequence[Curve]
    class_names: Sequence[str]

    @property
    def with_shots(self) -> Sequence[Curve]:
        """The experiments that were trained with fewer than all images."""
        return [curve for curve in self.curves if curve.trains and curve.points[0].num_shots is not None]

    @property
    def untrained(self) -> Sequence[Curve]:
        """The experiments without training."""
        return [curve for curve in self.curves if not curve.trains]


def build_learning_curves(
    results: Sequence[ExperimentResult], experiments: Sequence[ExperimentScores], metric: str
) -> list[DatasetCurves]:
    """Return the experiments of Table 3 on each dataset, with every number of training images.

    Args:
        results: results of one benchmark; runs with different seeds are one point.
        experiments: their scores of each pair; a point of several seeds has no interval without them.
        metric: one of ``METRICS``.
    """
    scores = {experiment.first.spec: experiment for experiment in experiments}
    by_dataset: dict[str, list[ExperimentResult]] = {}
    for result in sorted(results, key=lambda result: variant_order(result.spec)):
        if result.spec.table == MAIN_TABLE and result.score(metric) is not None:
            by_dataset.setdefault(result.spec.dataset, []).append(result)
    return [_dataset(name, by_dataset[name], scores, metric) for name in ordered_datasets(by_dataset)]


def _dataset(
    dataset: str,
    results: Sequence[ExperimentResult],
    scores: Mapping[ExperimentSpec, ExperimentScores],
    metric: str,
) -> DatasetCurves:
    names = sorted({name for result in results for name in result.class_names})
    names = names if len(names) > 1 else []
    points: dict[ExperimentSpec, list[CurvePoint]] = {}
    titles = {}
    for runs in group_seeds(results):
        experiment = runs[0].spec.searched
        titles[experiment] = runs[0].title
        points.setdefault(experiment, []).append(_point(runs, scores.get(runs[0].spec), metric, names))
    curves = [
        Curve(titles[experiment], experiment.trains, sorted(found, key=lambda point: point.num_shots or math.inf))
        for experiment, found in points.items()
    ]
    return DatasetCurves(dataset, curves, names)


def _point(
    runs: Sequence[ExperimentResult], scores: ExperimentScores | None, metric: str, class_names: Sequence[str]
) -> CurvePoint:
    def measure(class_name: str | None) -> Measure:
        if len(runs) == 1:
            interval = stored_interval(runs[0].summary(class_name).get("intervals"), metric)
        else:
            interval = None if scores is None else _interval(scores, metric, class_name)
        return mean_measure([result.score(metric, class_name) for result in runs], interval)

    images = [count for result in runs if (count := result.facts.get("training_images")) is not None]
    tested = runs[0].metrics.get("images")
    return CurvePoint(
        runs[0].spec.num_shots,
        fmean(images) if images else None,
        len(runs),
        tested if isinstance(tested, int) else None,
        measure(None),
        {name: measure(name) for name in class_names},
    )


def _interval(scores: ExperimentScores, metric: str, class_name: str | None) -> Interval | None:
    """Return the interval over seeds and cases."""
    chosen = scores.table.chosen(METRICS[metric].foreground_only, class_name)
    mean = mean_over_seeds(chosen, Bootstrap(resamples=RESAMPLES))
    return None if mean is None else mean.interval


def images_text(curve: Curve, point: CurvePoint) -> str:
    """Return the training images of a point, such as "16 images per class (32 in all)"."""
    known = "" if point.images is None else f"{point.images:.0f}"
    if point.num_shots is None:
        return f"all {known} images" if known else "all images"
    shots = f"{point.num_shots} image{'s' if point.num_shots > 1 else ''} per class"
    if not known:
        return shots
    if point.images == point.num_shots:  # of a single class
        return shots.removesuffix(" per class")
    whole = curve.most.num_shots is None and point.images == curve.most.images  # no class has more
    return f"{shots} (all {known})" if whole else f"{shots} ({known} in all)"


def enough_text(curve: Curve) -> str:
    """Return the smallest number of images whose interval reaches `REACHED` of full data, in a sentence or two."""
    if curve.target is None:
        return "Without a run with all images, it is not known how many are enough."
    full, target = images_text(curve, curve.most), number_text(curve.target, 1)
    share = f"{100 * REACHED:.0f} % of the Dice with {full}, that is {target}"
    reaching = curve.smallest(lambda interval, target: interval[1] >= target)
    above = curve.smallest(lambda interval, target: interval[0] >= target)
    if reaching is None or reaching.dice.interval is None:
        return f"No number of images has an interval that reaches {share}."
    low, high = (number_text(end, 1) for end in reaching.dice.interval)
    first = f"The smallest number whose interval reaches {share}, is {images_text(curve, reaching)} ({low} to {high})."
    if above is None:
        return f"{first} No whole interval lies above it."
    return f"{first} The whole interval lies above it with {images_text(curve, above)}."
