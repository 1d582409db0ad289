"""The content of a report, from stored results only: tables, figures, costs, comparisons and test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_tunevlseg.benchmark.embeddings import Embeddings, read_all_embeddings
from monai_tunevlseg.benchmark.experiment_order import row_order
from monai_tunevlseg.benchmark.figures import TrialPoint, depth_figures, embedding_figure, rates_figure
from monai_tunevlseg.benchmark.gallery import Gallery, build_galleries
from monai_tunevlseg.benchmark.learning_curve_figure import learning_curve_figure
from monai_tunevlseg.benchmark.learning_curves import DatasetCurves, build_learning_curves
from monai_tunevlseg.benchmark.method_comparison import DatasetComparison, compare_with_best
from monai_tunevlseg.benchmark.method_ranks import MethodRanks, build_method_ranks
from monai_tunevlseg.benchmark.obedience import DatasetObedience, build_obedience
from monai_tunevlseg.benchmark.other_domains import OtherDomains, read_other_domains
from monai_tunevlseg.benchmark.recommendation import Recommendation, recommend
from monai_tunevlseg.benchmark.results_folder import METRICS, ExperimentResult, Metric, ReportProblem, read_results
from monai_tunevlseg.benchmark.seed_runs import read_experiment_scores
from monai_tunevlseg.benchmark.seed_spread import DatasetSpread, build_seed_spread
from monai_tunevlseg.benchmark.sureness import DatasetSureness, build_sureness
from monai_tunevlseg.benchmark.tables import Table, build_tables
from monai_tunevlseg.benchmark.wording import DatasetWording, build_wording

__all__ = ["BenchmarkReport", "ReportFigure", "build_report"]


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the paper, drawn from these results.

    Attributes:
        number: number in the paper.
        name: file name without suffix.
        caption: plain text.
        svg: the drawing as SVG.
    """

    number: int
    name: str
    caption: str
    svg: str


@dataclass
class BenchmarkReport:
    """The content of a report, independent of the file format.

    Attributes:
        metric: the metric of tables and comparisons.
        results: all experiments that could be read; those with a number of shots are only in the learning curves and
            the costs.
        tables: Tables 3, 4 and 5.
        recommendations: the best method of each dataset.
        learning_curves: the experiments of each dataset with every number of training images.
        learning_curve_figures: their drawings as SVG by dataset, where a number of shots was run.
        figures: Figures 4 to 7, without those that have no data.
        spread: experiments with several seeds, by dataset.
        comparisons: for each dataset, every method compared with the best prompt learner or adapter.
        ranks: ranks of the methods over the datasets, for each number of training images.
        other_domains: runs that were trained on one dataset and tested on others.
        obedience: experiments whose tests asked for absent texts, by dataset.
        wording: experiments whose tests compared texts, by dataset.
        sureness: experiments whose tests measured the calibration, by dataset.
        galleries: test images with predictions.
        problems: missing and unusable results.
    """

    metric: Metric
    results: Sequence[ExperimentResult]
    tables: Sequence[Table]
    recommendations: Sequence[Recommendation] = ()
    learning_curves: Sequence[DatasetCurves] = ()
    learning_curve_figures: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[ReportFigure] = ()
    spread: Sequence[DatasetSpread] = ()
    comparisons: Sequence[DatasetComparison] = ()
    ranks: Sequence[MethodRanks] = ()
    other_domains: OtherDomains = OtherDomains((), ())
    obedience: Sequence[DatasetObedience] = ()
    wording: Sequence[DatasetWording] = ()
    sureness: Sequence[DatasetSureness] = ()
    galleries: Sequence[Gallery] = ()
    problems: list[ReportProblem] = field(default_factory=list)

    @property
    def dataset_titles(self) -> dict[str, str]:
        """Titles of the datasets by name."""
        return {result.spec.dataset: result.facts["titles"]["dataset"] for result in self.results}

    @property
    def seeded(self) -> bool:
        """Whether experiments have several training seeds."""
        return any(result.spec.seed is not None for result in self.results)

    @property
    def with_shots(self) -> bool:
        """Whether experiments were trained with a number of images per class."""
        return any(result.spec.num_shots is not None for result in self.results)

    @property
    def searched(self) -> bool:
        """Whether a search selected the hyperparameters of experiments with a number of shots."""
        return any(result.spec.num_shots is not None and result.facts.get("searched") for result in self.results)

    @property
    def validation(self) -> str | None:
        """The ``val_fraction`` of all experiments with shots: "all", a share or "same"; None where they differ."""
        used = [result.facts["hyperparameters"] or {} for result in self.results if result.spec.num_shots is not None]
        found = {"all" if (share := each.get("val_fraction")) is None else str(share) for each in used}
        return found.pop() if len(found) == 1 else None

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that the experiments ran with; comma-separated where they differ."""
        found: dict[str, set[str]] = {}
        for result in self.results:
            for package, version in result.facts["versions"].items():
                found.setdefault(package, set()).add(version)
        return {package: ", ".join(sorted(versions)) for package, versions in sorted(found.items())}

    @property
    def note(self) -> str | None:
        """What Table 3 lacks: scores of the masks of other tools at the model's resolution."""
        lacking = [result for result in self.results if result.score(self.metric.name) is None]
        titles = dict.fromkeys(result.title for result in lacking if not result.at_model_resolution)
        if not titles:
            return None
        return (
            f"Masks of other tools have no score at the model's resolution ({', '.join(titles)}); compare them at the "
            "image's own with --metric dice_original."
        )

    @property
    def costs(self) -> list[dict[str, Any]]:
        """Training images, parameters, bytes and seconds of each experiment."""
        return [
            {
                "dataset": result.spec.dataset,
                "model": result.spec.model,
                "method": result.spec.method,
                "variant": result.spec.variant or "",
                "num_shots": result.spec.num_shots,
                "seed": result.spec.seed,
                "training_images": result.facts.get("training_images"),
                "trained_parameters": result.facts["trained_parameters"],
                "checkpoint_bytes": result.facts["checkpoint_bytes"],
                "seconds_step": result.facts["seconds"]["step"],
                "seconds_trial": result.facts["seconds"]["trial"],
                "seconds_total": result.facts["seconds"]["total"],
                "peak_memory_bytes": result.facts["peak_memory_bytes"],
                "device": result.facts["device"],
            }
            for result in self.results
        ]


def build_report(results_dir: str | Path, metric: str = "dice") -> BenchmarkReport:
    """Read results and compute the content of a report.

    Raises:
        FileNotFoundError: when the folder has no results.
        ValueError: when the metric is unknown.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known metrics: {', '.join(METRICS)}.")
    folder = Path(results_dir)
    stored = read_results(folder)
    results, problems = stored.experiments, stored.problems
    results.sort(key=lambda result: (row_order(result.spec), result.spec.dataset))
    problems += [
        ReportProblem(result.spec.name, f"no {metric!r} in metrics.json; not in the tables.")
        for result in results
        if result.score(metric) is None and result.at_model_resolution
    ]
    full = [result for result in results if result.spec.num_shots is None]
    report = BenchmarkReport(METRICS[metric], results, build_tables(full, metric), problems=problems)
    experiments = read_experiment_scores(results, metric, problems)
    report.learning_curves = build_learning_curves(results, experiments, metric)
    report.learning_curve_figures = {
        curves.dataset: svg for curves in report.learning_curves if (svg := learning_curve_figure(curves)) is not None
    }
    report.recommendations = recommend(report.learning_curves)
    report.figures = _figures(_points(full, metric), report.dataset_titles, read_all_embeddings(folder, problems))
    report.spread = build_seed_spread(experiments, metric)
    report.comparisons = compare_with_best(experiments, metric, problems)
    report.ranks = build_method_ranks(results, metric)
    report.other_domains = read_other_domains(folder, metric, problems)
    report.obedience = build_obedience(full, metric, problems)
    report.wording = build_wording(full)
    report.sureness = build_sureness(full)
    report.galleries = build_galleries(folder, full, metric, problems)
    return report


def _figures(
    points: Sequence[TrialPoint], titles: Mapping[str, str], embeddings: Mapping[str, list[Embeddings]]
) -> list[ReportFigure]:
    figures = [
        ReportFigure(
            4,
            f"figure4_{model}",
            f"t-SNE of text and image embeddings of the frozen {items[0].title}; a point is a text or a test image.",
            embedding_figure(items, titles, items[0].title),
        )
        for model, items in embeddings.items()
    ]
    captions = {
        5: "Test Dice against prompt depth for the methods with text prompts only, with a linear fit for each.",
        6: "Test Dice against prompt depth for every prompt learner over all datasets, with a linear fit.",
    }
    figures += [
        ReportFigure(number, f"figure{number}", captions[number], svg)
        for number, svg in depth_figures(points, titles).items()
    ]
    rates = rates_figure(points, titles)
    if rates is not None:
        caption = "Test Dice against learning rate and weight decay; a point is a trial of a prompt learner."
        figures.append(ReportFigure(7, "figure7", caption, rates))
    return figures


def _points(results: Sequence[ExperimentResult], metric: str) -> list[TrialPoint]:
    """Return the tested trials of the prompt learners, without variants."""
    return [
        TrialPoint(
            result.spec.dataset,
            result.title,
            result.facts["prompts"] == ["text"],
            trial.test[metric],
            trial.hyperparameters,
        )
        for result in results
        if result.spec.variant is None and result.facts["prompts"]
        for trial in result.trials
        if metric in trial.test
    ]
