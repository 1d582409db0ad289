"""Every method against the best one, pair by pair, on each dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_tunevlseg.benchmark.entries import BASELINES
from monai_tunevlseg.benchmark.results import METRICS, Problem, Result
from monai_tunevlseg.benchmark.tables import ordered_datasets, row_order
from monai_tunevlseg.evaluation import Bootstrap, Case, Comparison, compare, read_cases

__all__ = ["Contest", "Rival", "adjusted", "compare_with_best"]

RESAMPLES = 1999  # enough for two decimals; a report compares up to a hundred times


@dataclass(frozen=True)
class Rival:
    """One method beside the best.

    Attributes:
        title: of its model and method.
        comparison: A is the best method, B is this one.
        adjusted_p: the p-value after Holm's correction for as many comparisons as the dataset has; None where there is
            none.
    """

    title: tuple[str, str]
    comparison: Comparison
    adjusted_p: float | None


@dataclass(frozen=True)
class Contest:
    """One dataset.

    Attributes:
        dataset: its name.
        best: title of the prompt learner with the highest mean.
        score: that mean.
        rivals: the others that could be compared.
    """

    dataset: str
    best: tuple[str, str]
    score: float
    rivals: Sequence[Rival]


def compare_with_best(results: Sequence[Result], metric: str, problems: list[Problem]) -> list[Contest]:
    """Compare all entries of each dataset, without the ablations' variants, with its best prompt learner.

    Args:
        results: of one benchmark.
        metric: one of ``METRICS``.
        problems: gets what could not be compared.
    """
    contests = []
    for dataset in ordered_datasets(result.entry.dataset for result in results):
        chosen = [
            result
            for result in results
            if result.entry.dataset == dataset and result.entry.variant is None and result.score(metric) is not None
        ]
        chosen.sort(key=lambda result: row_order(result.entry.model, result.entry.method))
        contest = _contest(dataset, chosen, metric, problems)
        if contest is not None:
            contests.append(contest)
    return contests


def _contest(dataset: str, results: Sequence[Result], metric: str, problems: list[Problem]) -> Contest | None:
    cases = {result: read for result in results if (read := _cases(result, metric, problems))}
    methods = [result for result in cases if result.entry.method not in BASELINES]
    if not methods or len(cases) < 2:
        return None
    best = max(methods, key=lambda result: result.score(metric) or 0.0)
    comparisons = {}
    for result in cases:
        if result is not best:
            try:
                comparisons[result] = _compare(cases[best], cases[result], metric)
            except ValueError as error:
                problems.append(Problem(result.entry.name, f"cannot be compared with {best.entry.name}: {error}"))
    p_values = adjusted([comparison.p_value for comparison in comparisons.values()])
    rivals = [
        Rival(_title(result), comparison, p)
        for (result, comparison), p in zip(comparisons.items(), p_values, strict=True)
    ]
    return Contest(dataset, _title(best), best.score(metric) or 0.0, rivals)


def _cases(result: Result, metric: str, problems: list[Problem]) -> list[Case]:
    try:
        return read_cases(result.folder, required=[METRICS[metric].score])
    except (OSError, ValueError) as error:
        name = result.entry.name
        message = str(error).replace(f"{result.folder}/", "")
        problems.append(Problem(f"{name}/cases.csv", f"{message} The entry is not compared."))
        return []


def _compare(best: Sequence[Case], other: Sequence[Case], metric: str) -> Comparison:
    chosen = METRICS[metric]
    return compare(best, other, chosen.score, chosen.foreground_only, Bootstrap(resamples=RESAMPLES))


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for their number after Holm (1979); what is None stays and does not count."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[index] = highest
    return corrected


def _title(result: Result) -> tuple[str, str]:
    titles = result.facts["titles"]
    return titles["model"], titles["method"]
