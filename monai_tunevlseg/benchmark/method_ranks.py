"""The ranks of the methods over the datasets, with the difference that is significant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from monai_tunevlseg.benchmark.critical_difference_figure import critical_difference_figure
from monai_tunevlseg.benchmark.experiment_order import ordered_datasets
from monai_tunevlseg.benchmark.experiment_spec import MAIN_TABLE
from monai_tunevlseg.benchmark.results_folder import ExperimentResult
from monai_tunevlseg.benchmark.seed_runs import group_seeds
from monai_tunevlseg.evaluation import DatasetRanks, rank_over_datasets

__all__ = ["MethodRanks", "build_method_ranks"]

FEWEST_METHODS, FEWEST_DATASETS = 3, 2


@dataclass(frozen=True)
class MethodRanks:
    """The ranks of methods with the same number of training images.

    Attributes:
        num_shots: number of training images per class; None = all.
        ranks: ranks, by names of models and methods.
        titles: titles of models and methods by these names.
        datasets: names of the datasets.
        left_out: titles of the methods that were not tested on all of them.
        figure: critical-difference diagram as SVG.
    """

    num_shots: int | None
    ranks: DatasetRanks
    titles: Mapping[str, str]
    datasets: Sequence[str]
    left_out: Sequence[str]
    figure: str

    @property
    def name(self) -> str:
        """Name of the figure's file, without suffix."""
        return "ranks" if self.num_shots is None else f"ranks_shots{self.num_shots}"

    @property
    def text(self) -> str:
        """What the ranks tell, in sentences."""
        p_value, needed = self.ranks.p_value, self.ranks.critical_difference
        parts = [f"Mean ranks of {len(self.titles)} methods on {len(self.datasets)} datasets, 1 is the best."]
        if p_value is not None:
            shown = "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
            parts.append(f"All methods equal: p {shown} (Friedman’s test in the form of Iman and Davenport).")
        parts.append(
            f"Two methods differ from a difference of {needed:.2f} on (Nemenyi, 5 %); bars join those that do not."
        )
        if not self.ranks.can_differ:
            parts.append("So few datasets cannot tell any two of these methods apart.")
        if self.left_out:
            parts.append(f"Not tested on all of these datasets, and left out: {', '.join(self.left_out)}.")
        return " ".join(parts)


def build_method_ranks(results: Sequence[ExperimentResult], metric: str) -> list[MethodRanks]:
    """Rank the experiments of Table 3 by their means over the seeds, for all images and for each number of shots.

    Args:
        results: results of one benchmark.
        metric: one of ``METRICS``.
    """
    shots = {result.spec.num_shots for result in results if result.spec.trains}
    found = (_ranks(results, metric, num_shots) for num_shots in sorted(shots, key=lambda number: number or 0))
    return [ranks for ranks in found if ranks is not None]


def _ranks(results: Sequence[ExperimentResult], metric: str, num_shots: int | None) -> MethodRanks | None:
    scores: dict[str, dict[str, float]] = {}
    titles = {}
    chosen = [
        result
        for result in results
        if result.spec.table == MAIN_TABLE and (result.spec.num_shots == num_shots or not result.spec.trains)
    ]
    for runs in group_seeds(chosen):
        known = [score for run in runs if (score := run.score(metric)) is not None]
        if known:
            spec = runs[0].spec
            name = f"{spec.bundle}-{spec.variant or ''}"
            scores.setdefault(name, {})[spec.dataset] = fmean(known)
            titles[name] = runs[0].title
    datasets = _most_complete(scores)
    if datasets is None:
        return None
    complete = {name: of_method for name, of_method in scores.items() if of_method.keys() >= set(datasets)}
    ranks = rank_over_datasets({name: [found[each] for each in datasets] for name, found in complete.items()})
    shown = {name: titles[name] for name in ranks.mean_ranks}
    left_out = [titles[name] for name in scores if name not in complete]
    return MethodRanks(num_shots, ranks, shown, datasets, left_out, critical_difference_figure(ranks, shown))


def _most_complete(scores: Mapping[str, Mapping[str, float]]) -> list[str] | None:
    """Return the datasets of a method that have the most scores by methods with all of them; None with too few."""
    candidates: dict[frozenset[str], int] = {}
    for of_method in scores.values():
        datasets = frozenset(of_method)
        methods = sum(other.keys() >= datasets for other in scores.values())
        if methods >= FEWEST_METHODS and len(datasets) >= FEWEST_DATASETS:
            candidates[datasets] = methods * len(datasets)
    if not candidates:
        return None
    best = max(candidates, key=lambda datasets: (candidates[datasets], len(datasets)))
    return ordered_datasets(best)
