"""Every method compared with the best prompt learner or adapter of the dataset, matched by (image, text) pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from monai_tunevlseg.benchmark.experiment_order import ordered_datasets
from monai_tunevlseg.benchmark.results_folder import METRICS, ReportProblem
from monai_tunevlseg.benchmark.seed_runs import ExperimentScores
from monai_tunevlseg.evaluation import Bootstrap, Comparison, compare_tables, holm_adjusted

__all__ = ["DatasetComparison", "MethodComparison", "compare_with_best"]

RESAMPLES = 1999  # sufficient for two decimals; a report makes up to a thousand comparisons


@dataclass(frozen=True)
class MethodComparison:
    """One method compared with the best.

    Attributes:
        title: titles of model and method.
        comparison: A is the best method, B is this one.
        adjusted_p: p-value of the Wilcoxon test with Holm's correction for the comparisons of the dataset; None if it
            has no p-value.
        adjusted_p_seeds: p-value of the t-test over seeds and images with this correction; None if it has none.
    """

    title: str
    comparison: Comparison
    adjusted_p: float | None
    adjusted_p_seeds: float | None


@dataclass(frozen=True)
class DatasetComparison:
    """The methods of one dataset compared with its best prompt learner or adapter.

    Attributes:
        dataset: name of the dataset.
        num_shots: number of training images per class; None = all.
        best: titles of model and method of the prompt learner or adapter with the highest mean.
        score: that mean, in percent.
        methods: the other methods, without those that cannot be compared.
    """

    dataset: str
    num_shots: int | None
    best: str
    score: float
    methods: Sequence[MethodComparison]

    @property
    def seeded(self) -> bool:
        """Whether a comparison is over several seeds."""
        return any(max(method.comparison.runs_a, method.comparison.runs_b) > 1 for method in self.methods)


def compare_with_best(
    experiments: Sequence[ExperimentScores], metric: str, problems: list[ReportProblem]
) -> list[DatasetComparison]:
    """Compare the experiments on each dataset with its best prompt learner or adapter, all images first, then few.

    Experiments are compared with those of the same number of training images, and without training with all of them.

    Args:
        experiments: scores of the experiments.
        metric: one of ``METRICS``.
        problems: receives the experiments that cannot be compared.
    """
    shots = {experiment.first.spec.num_shots for experiment in experiments}
    comparisons = []
    for dataset in ordered_datasets(experiment.first.spec.dataset for experiment in experiments):
        for num_shots in sorted(shots, key=lambda number: number or 0):
            chosen = [
                experiment
                for experiment in experiments
                if experiment.first.spec.dataset == dataset
                and (experiment.first.spec.num_shots == num_shots or not experiment.first.spec.trains)
            ]
            comparison = _dataset_comparison(dataset, num_shots, chosen, metric, problems)
            if comparison is not None:
                comparisons.append(comparison)
    return comparisons


def _dataset_comparison(
    dataset: str,
    num_shots: int | None,
    experiments: Sequence[ExperimentScores],
    metric: str,
    problems: list[ReportProblem],
) -> DatasetComparison | None:
    means = {experiment: fmean(run.score(metric) or 0.0 for run in experiment.runs) for experiment in experiments}
    methods = [experiment for experiment in experiments if not experiment.first.spec.baseline]
    if not methods or len(experiments) < 2:
        return None
    best = max(methods, key=lambda experiment: means[experiment])
    compared = []
    for experiment in experiments:
        if experiment is not best:
            try:
                compared.append((experiment.first.title, _compare(best, experiment, metric)))
            except ValueError as error:
                name = experiment.first.spec.name
                problems.append(ReportProblem(name, f"cannot be compared with {best.first.spec.name}: {error}"))
    adjusted = holm_adjusted([comparison.p_value for _, comparison in compared])
    adjusted_seeds = holm_adjusted([comparison.p_value_seeds for _, comparison in compared])
    rows = [MethodComparison(*found, *p) for found, *p in zip(compared, adjusted, adjusted_seeds, strict=True)]
    return DatasetComparison(dataset, num_shots, best.first.title, means[best], rows)


def _compare(best: ExperimentScores, other: ExperimentScores, metric: str) -> Comparison:
    same_seeds = best.seeds == other.seeds
    bootstrap = Bootstrap(resamples=RESAMPLES)
    return compare_tables(best.table, other.table, METRICS[metric].foreground_only, bootstrap, same_seeds)
