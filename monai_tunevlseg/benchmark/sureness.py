"""How far the probabilities of the experiments can be trusted: calibration errors and reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_tunevlseg.benchmark.figures import ReliabilityPoint, reliability_figure
from monai_tunevlseg.benchmark.measure import Measure, mean_measure, stored_interval
from monai_tunevlseg.benchmark.results_folder import ExperimentResult
from monai_tunevlseg.benchmark.seed_runs import experiments_with

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
        temperature: divisor of the logits, fitted on validation data; undefined for several classes or without a fit.
        threshold: probability with the highest Dice on validation data; undefined like the temperature.
        presence_loss: log loss of the presence of a text on validation data after its fit, 0.69 where it is guessed;
            undefined for a class of several or without a fit.
    """

    title: str
    class_name: str | None
    ece: Measure
    ace: Measure
    mce: Measure
    brier: Measure
    oracle_threshold: Measure
    oracle_dice: Measure
    temperature: Measure
    threshold: Measure
    presence_loss: Measure


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

    @property
    def fitted(self) -> bool:
        """Whether training fitted a calibration of one of the experiments."""
        measures = (measure for row in (*self.rows, *self.classes) for measure in (row.temperature, row.presence_loss))
        return any(measure.value is not None for measure in measures)


def build_sureness(results: Sequence[ExperimentResult]) -> list[DatasetSureness]:
    """Return the calibration of each dataset's experiments; a dataset without any is left out."""
    return [_dataset(name, experiments) for name, experiments in experiments_with(results, "calibration").items()]


def _dataset(dataset: str, experiments: Sequence[Sequence[ExperimentResult]]) -> DatasetSureness:
    rows, classes, panels = [], [], {}
    for runs in experiments:
        names = sorted({name for result in runs for name in result.metrics["calibration"]["classes"]})
        rows.append(_row(runs, None, names))
        classes += [_row(runs, name, names) for name in names if len(names) > 1]
        panels[runs[0].title] = pool_bins([result.metrics["calibration"]["reliability"] for result in runs])
    return DatasetSureness(dataset, rows, classes, reliability_figure(panels))


def _row(runs: Sequence[ExperimentResult], class_name: str | None, class_names: Sequence[str]) -> SurenessRow:
    """Return the row of an experiment's runs, or of one of the classes that they measured."""
    summaries = [result.metrics["calibration"] for result in runs]
    if class_name is not None:
        summaries = [each["classes"][class_name] for each in summaries if class_name in each["classes"]]
    names = ("ece", "ace", "mce", "brier", "oracle_threshold", "oracle_dice")
    intervals = summaries[0].get("intervals") if len(summaries) == 1 else None
    measured = {
        name: mean_measure([each[name] for each in summaries], stored_interval(intervals, name)) for name in names
    }
    fits = [fit for result in runs if (fit := result.facts.get("calibration"))]
    only = class_name or (class_names[0] if len(class_names) == 1 else None)
    of_class = [fit["classes"][only] for fit in fits if only in fit["classes"]]
    presences = [fit["presence"] for fit in fits if fit["presence"] and class_name is None]
    return SurenessRow(
        runs[0].title,
        class_name,
        **measured,
        temperature=mean_measure([fit["temperature"] for fit in of_class]),
        threshold=mean_measure([fit["threshold"] for fit in of_class]),
        presence_loss=mean_measure([presence["log_loss"] for presence in presences]),
    )


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
