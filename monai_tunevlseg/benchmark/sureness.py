"""How far the probabilities of the experiments can be trusted: calibration errors and reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_tunevlseg.benchmark.figures import ReliabilityPoint, reliability_figure
from monai_tunevlseg.benchmark.measure import Measure, mean_measure, stored_interval
from monai_tunevlseg.benchmark.results_folder import ExperimentResult
from monai_tunevlseg.benchmark.seed_runs import group_seeds
from monai_tunevlseg.benchmark.tables import ordered_datasets, variant_order

__all__ = ["DatasetSureness", "SurenessRow", "build_sureness", "pool_bins"]


@dataclass(frozen=True)
class SurenessRow:
    """An experiment, or one of its classes; means over its pairs and seeds.

    Attributes:
        title: titles of model and method, with the variant.
        class_name: name of the class; None = all classes.
        ece: expected calibration error, 0 to 1.
        ace: average calibration error.
        mce: maximum calibration error.
        brier: mean squared error of the probability of a pixel.
        oracle_threshold: threshold of the highest Dice on the test split itself.
        oracle_dice: that Dice, an upper bound.
    """

    title: str
    class_name: str | None
    ece: Measure
    ace: Measure
    mce: Measure
    brier: Measure
    oracle_threshold: Measure
    oracle_dice: Measure


@dataclass(frozen=True)
class DatasetSureness:
    """The experiments of one dataset whose tests measured the calibration.

    Attributes:
        dataset: name of the dataset.
        rows: experiments.
        classes: every class of every experiment; empty for one class.
        figure: reliability diagrams as SVG, a panel for each experiment.
    """

    dataset: str
    rows: Sequence[SurenessRow]
    classes: Sequence[SurenessRow]
    figure: str


def build_sureness(results: Sequence[ExperimentResult]) -> list[DatasetSureness]:
    """Return the calibration of each dataset's experiments; a dataset without any is left out."""
    chosen = [result for result in results if "calibration" in result.metrics]
    chosen.sort(key=lambda result: variant_order(result.spec))
    return [
        _dataset(dataset, group_seeds([result for result in chosen if result.spec.dataset == dataset]))
        for dataset in ordered_datasets(result.spec.dataset for result in chosen)
    ]


def _dataset(dataset: str, experiments: Sequence[Sequence[ExperimentResult]]) -> DatasetSureness:
    rows, classes, panels = [], [], {}
    for runs in experiments:
        found = [result.metrics["calibration"] for result in runs]
        rows.append(_row(runs[0].title, None, found))
        names = sorted({name for each in found for name in each["classes"]})
        of_class = {name: [each["classes"][name] for each in found if name in each["classes"]] for name in names}
        classes += [_row(runs[0].title, name, each) for name, each in of_class.items() if len(names) > 1]
        panels[runs[0].title] = pool_bins([each["reliability"] for each in found])
    return DatasetSureness(dataset, rows, classes, reliability_figure(panels))


def _row(title: str, class_name: str | None, found: Sequence[Mapping[str, Any]]) -> SurenessRow:
    names = ("ece", "ace", "mce", "brier", "oracle_threshold", "oracle_dice")
    intervals = found[0].get("intervals") if len(found) == 1 else None
    measures = (mean_measure([each[name] for each in found], stored_interval(intervals, name)) for name in names)
    return SurenessRow(title, class_name, *measures)


def pool_bins(diagrams: Sequence[Mapping[str, Any]]) -> list[ReliabilityPoint]:
    """Return the points of several reliability diagrams together, without empty bins."""
    sums: dict[int, list[float]] = {}
    for diagram in diagrams:
        bins = zip(diagram["pixels"], diagram["mean_probability"], diagram["foreground_share"], strict=False)
        for number, (pixels, probability, share) in enumerate(bins):
            if pixels and probability is not None and share is not None:
                total = sums.setdefault(number, [0, 0.0, 0.0])
                for place, part in enumerate((1, probability, share)):
                    total[place] += pixels * part
    return [
        ReliabilityPoint(probability / pixels, share / pixels, int(pixels))
        for _, (pixels, probability, share) in sorted(sums.items())
    ]
