"""The runs of one experiment with different training seeds, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monai_tunevlseg.benchmark.experiment_order import ordered_datasets, row_order, variant_order
from monai_tunevlseg.benchmark.experiment_spec import MAIN_TABLE
from monai_tunevlseg.benchmark.results_folder import METRICS, ExperimentResult, ReportProblem
from monai_tunevlseg.evaluation import AbsentPair, ScoreTable, read_score_table

__all__ = [
    "ExperimentScores",
    "absent_scores",
    "experiments_with",
    "group_seeds",
    "read_experiment_scores",
]


@dataclass(frozen=True, eq=False)
class ExperimentScores:
    """The runs of an experiment with different seeds, and their scores of each pair.

    Attributes:
        runs: results, by seed.
        table: scores of the report's metric; its pairs include those that the metric leaves out.
    """

    runs: Sequence[ExperimentResult]
    table: ScoreTable

    @property
    def first(self) -> ExperimentResult:
        """The first run."""
        return self.runs[0]

    @property
    def seeds(self) -> list[int | None]:
        """Training seeds of the runs."""
        return [run.spec.seed for run in self.runs]


def read_experiment_scores(
    results: Sequence[ExperimentResult], metric: str, problems: list[ReportProblem]
) -> list[ExperimentScores]:
    """Read the scores of the experiments of Table 3 with every number of shots, by dataset and in their order.

    Args:
        results: results of one benchmark.
        metric: one of ``METRICS``.
        problems: receives the experiments whose scores cannot be read.
    """
    chosen = [result for result in results if result.spec.table == MAIN_TABLE and result.score(metric) is not None]
    place = {name: number for number, name in enumerate(ordered_datasets(result.spec.dataset for result in chosen))}
    chosen.sort(key=lambda result: (place[result.spec.dataset], row_order(result.spec)))
    tables = ((runs, _read_table(runs, METRICS[metric].score, problems)) for runs in group_seeds(chosen))
    return [ExperimentScores(runs, table) for runs, table in tables if table is not None]


def _read_table(runs: Sequence[ExperimentResult], score: str, problems: list[ReportProblem]) -> ScoreTable | None:
    table: ScoreTable | None = None
    for run in runs:
        try:
            of_run = read_score_table([run.folder], score)
            table = of_run if table is None else table.stack([of_run])
        except (OSError, ValueError) as error:
            message = str(error).replace(f"{run.folder}/", "")
            problems.append(ReportProblem(f"{run.spec.name}/pairs.csv", f"{message} The experiment is not compared."))
            return None
    return table


def group_seeds(results: Sequence[ExperimentResult]) -> list[list[ExperimentResult]]:
    """Return the runs of each experiment by seed, in the order of their first runs.

    A run without a seed does not count beside others, one of which may have the same seed from the bundle.
    """
    grouped: dict[str, list[ExperimentResult]] = {}
    for result in results:
        grouped.setdefault(replace(result.spec, seed=None).name, []).append(result)
    seeded = ([run for run in runs if run.spec.seed is not None] or runs for runs in grouped.values())
    return [sorted(runs, key=lambda run: run.spec.seed or 0) for runs in seeded]


def experiments_with(results: Sequence[ExperimentResult], summary: str) -> dict[str, list[list[ExperimentResult]]]:
    """Return the runs of each experiment whose ``metrics.json`` has a summary, by dataset.

    Zero-shot is first, and a variant follows the experiment that it changes. Datasets without the summary are left out.
    """
    chosen = sorted(
        (result for result in results if summary in result.metrics), key=lambda result: variant_order(result.spec)
    )
    return {
        dataset: group_seeds([result for result in chosen if result.spec.dataset == dataset])
        for dataset in ordered_datasets(result.spec.dataset for result in chosen)
    }


def absent_scores(runs: Sequence[Sequence[AbsentPair]], score: str) -> tuple[np.ndarray, list[str]]:
    """Return the scores (S, P) of the absent pairs that all runs have, in percent, and the clusters of these pairs.

    Args:
        runs: absent pairs of each run.
        score: "false_positive_rate" or "false_positive_area".
    """
    values: dict[tuple[str, int | None, str], list[float]] = {}
    clusters = {}
    for pairs in runs:
        for pair in pairs:
            key = pair.image, pair.slice, pair.text
            clusters[key] = pair.cluster
            found = 100.0 * (pair.predicted_pixels_original > 0)
            values.setdefault(key, []).append(found if score == "false_positive_rate" else pair.false_positive_area)
    common = [key for key, of_runs in values.items() if len(of_runs) == len(runs)]
    return np.array([values[key] for key in common]).reshape(-1, len(runs)).T, [clusters[key] for key in common]
