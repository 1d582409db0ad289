"""Every method compared with the best prompt learner or adapter of the dataset, matched by (image, text) pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from monai_tunevlseg.benchmark.experiment_order import ordered_datasets, row_order
from monai_tunevlseg.benchmark.experiment_spec import MAIN_TABLE
from monai_tunevlseg.benchmark.results_folder import METRICS, ExperimentResult, ReportProblem
from monai_tunevlseg.benchmark.seed_runs import group_seeds, mean_pair_scores
from monai_tunevlseg.evaluation import Bootstrap, Comparison, PairScores, compare, read_pair_scores

__all__ = ["DatasetComparison", "MethodComparison", "compare_with_best", "holm_adjusted"]

RESAMPLES = 1999  # sufficient for two decimals; a report makes up to a hundred comparisons


@dataclass(frozen=True)
class MethodComparison:
    """One method compared with the best.

    Attributes:
        title: titles of model and method.
        comparison: A is the best method, B is this one.
        adjusted_p: p-value with Holm's correction for the comparisons of the dataset; None if it has no p-value.
    """

    title: str
    comparison: Comparison
    adjusted_p: float | None


@dataclass(frozen=True)
class DatasetComparison:
    """The methods of one dataset compared with its best prompt learner or adapter.

    Attributes:
        dataset: name of the dataset.
        best: titles of model and method of the prompt learner or adapter with the highest mean.
        score: that mean, in percent.
        methods: the other methods, without those that cannot be compared.
    """

    dataset: str
    best: str
    score: float
    methods: Sequence[MethodComparison]


def compare_with_best(
    results: Sequence[ExperimentResult], metric: str, problems: list[ReportProblem]
) -> list[DatasetComparison]:
    """Compare the experiments of Table 3 on each dataset with its best prompt learner or adapter.

    With several seeds, the score of a pair is its mean over them.

    Args:
        results: results of one benchmark.
        metric: one of ``METRICS``.
        problems: receives the experiments that cannot be compared.
    """
    comparisons = []
    for dataset in ordered_datasets(result.spec.dataset for result in results):
        chosen = [
            result
            for result in results
            if result.spec.dataset == dataset and result.spec.table == MAIN_TABLE and result.score(metric) is not None
        ]
        chosen.sort(key=lambda result: row_order(result.spec))
        comparison = _dataset_comparison(dataset, chosen, metric, problems)
        if comparison is not None:
            comparisons.append(comparison)
    return comparisons


def _dataset_comparison(
    dataset: str, results: Sequence[ExperimentResult], metric: str, problems: list[ReportProblem]
) -> DatasetComparison | None:
    experiments = {runs[0]: runs for runs in group_seeds(results)}
    means = {first: fmean(result.score(metric) or 0.0 for result in runs) for first, runs in experiments.items()}
    scores = {first: read for first, runs in experiments.items() if (read := _pair_scores(runs, metric, problems))}
    methods = [result for result in scores if not result.spec.baseline]
    if not methods or len(scores) < 2:
        return None
    best = max(methods, key=lambda result: means[result])
    comparisons = {}
    for result in scores:
        if result is not best:
            try:
                comparisons[result] = _compare(scores[best], scores[result], metric)
            except ValueError as error:
                problems.append(ReportProblem(result.spec.name, f"cannot be compared with {best.spec.name}: {error}"))
    p_values = holm_adjusted([comparison.p_value for comparison in comparisons.values()])
    compared = [
        MethodComparison(result.title, comparison, p)
        for (result, comparison), p in zip(comparisons.items(), p_values, strict=True)
    ]
    return DatasetComparison(dataset, best.title, means[best], compared)


def _pair_scores(runs: Sequence[ExperimentResult], metric: str, problems: list[ReportProblem]) -> list[PairScores]:
    score, read = METRICS[metric].score, []
    for result in runs:
        try:
            read.append(read_pair_scores(result.folder, required=[score]))
            pairs = mean_pair_scores(read, score)
        except (OSError, ValueError) as error:
            name = result.spec.name
            message = str(error).replace(f"{result.folder}/", "")
            problems.append(ReportProblem(f"{name}/pairs.csv", f"{message} The experiment is not compared."))
            return []
    return pairs


def _compare(best: Sequence[PairScores], other: Sequence[PairScores], metric: str) -> Comparison:
    chosen = METRICS[metric]
    return compare(best, other, chosen.score, chosen.foreground_only, Bootstrap(resamples=RESAMPLES))


def holm_adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values with the correction of Holm (1979) for multiple tests; None stays None and does not count."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[index] = highest
    return corrected
