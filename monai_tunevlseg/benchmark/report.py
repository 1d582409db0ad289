"""What a report shows: tables, figures, costs, comparisons and pictures, from stored results alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_tunevlseg.benchmark.comparisons import Contest, compare_with_best
from monai_tunevlseg.benchmark.embeddings import Embeddings, read_all_embeddings
from monai_tunevlseg.benchmark.figures import Point, depth_figures, embedding_figure, rates_figure
from monai_tunevlseg.benchmark.gallery import Gallery, build_galleries
from monai_tunevlseg.benchmark.results import METRICS, Metric, Problem, Result, read_results
from monai_tunevlseg.benchmark.tables import Table, build_tables, row_order

__all__ = ["Drawing", "Report", "build_report"]


@dataclass(frozen=True)
class Drawing:
    """A figure of the paper.

    Attributes:
        number: in the paper.
        name: of its file, without suffix.
        caption: what it shows.
        svg: the drawing.
    """

    number: int
    name: str
    caption: str
    svg: str


@dataclass
class Report:
    """What is shown, before it is written in any form.

    Attributes:
        metric: what the tables and comparisons are about.
        results: all entries that could be read.
        tables: Tables 3, 4 and 5.
        drawings: Figures 4 to 7, as far as there is something to draw.
        contests: each dataset's methods against its best.
        galleries: pictures of test cases.
        problems: what could not be used.
    """

    metric: Metric
    results: Sequence[Result]
    tables: Sequence[Table]
    drawings: Sequence[Drawing] = ()
    contests: Sequence[Contest] = ()
    galleries: Sequence[Gallery] = ()
    problems: list[Problem] = field(default_factory=list)

    @property
    def dataset_titles(self) -> dict[str, str]:
        """Titles of the datasets by name."""
        return {result.entry.dataset: result.facts["titles"]["dataset"] for result in self.results}


def build_report(results_dir: str | Path, metric: str = "dice") -> Report:
    """Read results and compute everything that a report shows.

    Raises:
        FileNotFoundError: when there are no results.
        ValueError: when there is no such metric.
    """
    if metric not in METRICS:
        raise ValueError(f"there is no metric {metric!r}; known are {', '.join(METRICS)}.")
    folder = Path(results_dir)
    stored = read_results(folder)
    results, problems = stored.entries, stored.problems
    results.sort(key=lambda result: (row_order(result.entry.model, result.entry.method), result.entry.dataset))
    problems += [
        Problem(result.entry.name, f"its metrics.json has no {metric!r}; the tables are without it.")
        for result in results
        if result.score(metric) is None
    ]
    report = Report(METRICS[metric], results, build_tables(results, metric), problems=problems)
    report.drawings = _drawings(report, read_all_embeddings(folder, problems))
    report.contests = compare_with_best(results, metric, problems)
    report.galleries = build_galleries(folder, results, problems)
    return report


def _drawings(report: Report, embeddings: dict[str, list[Embeddings]]) -> list[Drawing]:
    titles = report.dataset_titles
    drawings = [
        Drawing(
            4,
            f"figure4_{model}",
            f"t-SNE of the frozen {items[0].title}’s text and image embeddings; every point is a text or a test image.",
            embedding_figure(items, titles, items[0].title),
        )
        for model, items in embeddings.items()
    ]
    points = _points(report.results, report.metric.name)
    captions = {
        5: "Test Dice against prompt depth for the methods of text alone, with a fitted line for each.",
        6: "Test Dice against prompt depth for every method, all datasets together, with a fitted line.",
    }
    drawings += [
        Drawing(number, f"figure{number}", captions[number], svg)
        for number, svg in depth_figures(points, titles).items()
    ]
    rates = rates_figure(points, titles)
    if rates is not None:
        caption = "Test Dice against learning rate and weight decay; every point is a trial."
        drawings.append(Drawing(7, "figure7", caption, rates))
    return drawings


def _points(results: Sequence[Result], metric: str) -> list[Point]:
    """Return the trials of the prompt learners that were measured on the test split, without the ablations."""
    return [
        Point(
            result.entry.dataset,
            f"{result.facts['titles']['model']} {result.facts['titles']['method']}",
            result.facts["prompts"] == ["text"],
            trial.test[metric],
            trial.hyperparameters,
        )
        for result in results
        if result.entry.variant is None and result.facts["prompts"]
        for trial in result.trials
        if metric in trial.test
    ]
