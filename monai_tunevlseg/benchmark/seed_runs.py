"""The runs of one experiment with different training seeds, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from monai_tunevlseg.benchmark.experiment_order import ordered_datasets, variant_order
from monai_tunevlseg.benchmark.results_folder import ExperimentResult
from monai_tunevlseg.evaluation import AbsentPair, PairScores

__all__ = ["experiments_with", "group_seeds", "mean_absent_pairs", "mean_pair_scores"]


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


def mean_pair_scores(runs: Sequence[Sequence[PairScores]], score: str) -> list[PairScores]:
    """Return the pairs of all runs, with the mean of a score over the runs, None where one has none.

    Raises:
        ValueError: when the runs have different pairs.
    """
    if len(runs) == 1:
        return list(runs[0])
    by_key = [{pair.key: pair for pair in pairs} for pairs in runs]
    if any(pairs.keys() != by_key[0].keys() for pairs in by_key):
        raise ValueError("its seeds were tested on different pairs.")
    means = []
    for key, pair in by_key[0].items():
        values = [value for pairs in by_key if (value := pairs[key].score(score)) is not None]
        mean: dict[str, Any] = {score: fmean(values) if len(values) == len(runs) else None}
        means.append(replace(pair, **mean))
    return means


def mean_absent_pairs(runs: Sequence[Sequence[AbsentPair]], score: str) -> tuple[list[float], list[str]]:
    """Return the mean over the runs for each absent pair of all, and the clusters of these pairs.

    Args:
        runs: absent pairs of each run.
        score: "false_positive_rate", in percent, or "false_positive_area".
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
    return [fmean(values[key]) for key in common], [clusters[key] for key in common]
