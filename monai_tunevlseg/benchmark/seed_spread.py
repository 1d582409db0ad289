"""How far the seeds of the training move the scores: mean, spread, and interval over seeds and test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import stdev

from monai_tunevlseg.benchmark.measure import Measure
from monai_tunevlseg.benchmark.results_folder import METRICS
from monai_tunevlseg.benchmark.seed_runs import ExperimentScores
from monai_tunevlseg.evaluation import Bootstrap, mean_over_seeds

__all__ = ["DatasetSpread", "SpreadRow", "build_seed_spread"]

RESAMPLES = 1999  # sufficient for two decimals


@dataclass(frozen=True)
class SpreadRow:
    """An experiment with several seeds.

    Attributes:
        title: titles of model and method, with the variant.
        num_shots: number of training images per class; None = all.
        runs: number of seeds.
        dice: mean over seeds and pairs, its standard deviation over the seeds, and its interval over both.
        seed_error: standard error of the mean that comes from the seeds.
        case_error: standard error of the mean that comes from the test images, or patients.
        seed_share: share of the seeds in the variance of the mean, in percent; None where all scores are equal.
    """

    title: str
    num_shots: int | None
    runs: int
    dice: Measure
    seed_error: float
    case_error: float
    seed_share: float | None


@dataclass(frozen=True)
class DatasetSpread:
    """The experiments of one dataset with several seeds.

    Attributes:
        dataset: name of the dataset.
        rows: experiments, those with all training images first, then those with few.
    """

    dataset: str
    rows: Sequence[SpreadRow]

    @property
    def by_shots(self) -> list[tuple[int | None, list[SpreadRow]]]:
        """The rows of each number of training images per class."""
        return [(shots, list(rows)) for shots, rows in groupby(self.rows, key=lambda row: row.num_shots)]


def build_seed_spread(experiments: Sequence[ExperimentScores], metric: str) -> list[DatasetSpread]:
    """Return the experiments with several seeds, by dataset; a dataset without any is left out.

    Args:
        experiments: scores of the experiments, by dataset.
        metric: one of ``METRICS``.
    """
    rows: dict[str, list[SpreadRow]] = {}
    for experiment in experiments:
        row = _row(experiment, metric) if len(experiment.runs) > 1 else None
        if row is not None:
            rows.setdefault(experiment.first.spec.dataset, []).append(row)
    return [
        DatasetSpread(dataset, sorted(found, key=lambda row: row.num_shots or 0)) for dataset, found in rows.items()
    ]


def _row(experiment: ExperimentScores, metric: str) -> SpreadRow | None:
    table = experiment.table.chosen(METRICS[metric].foreground_only)
    mean = mean_over_seeds(table, Bootstrap(resamples=RESAMPLES))
    if mean is None:
        return None
    return SpreadRow(
        experiment.first.title,
        experiment.first.spec.num_shots,
        len(experiment.runs),
        Measure(mean.value, stdev(table.values.mean(axis=1).tolist()), mean.interval),
        mean.seed_error,
        mean.case_error,
        None if mean.seed_share is None else 100 * mean.seed_share,
    )
