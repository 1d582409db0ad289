"""Tables 3, 4 and 5 of the paper from stored results, with the paper's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev

from monai_tunevlseg.benchmark.experiment_order import ordered_datasets, row_order
from monai_tunevlseg.benchmark.experiment_spec import MAIN_TABLE, VARIANTS, ExperimentSpec
from monai_tunevlseg.benchmark.paper_tables import PaperRow, paper_rows
from monai_tunevlseg.benchmark.results_folder import ExperimentResult
from monai_tunevlseg.benchmark.seed_runs import group_seeds

__all__ = ["Cell", "Row", "Table", "build_tables"]

TITLES = {
    MAIN_TABLE: "Models and methods",
    4: "Initialization of the first context",
    5: "Without the upsampler",
}
_Key = tuple[str, str, str | None]  # model, method, variant

WORDS = "“a photo of a”"


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        value: Dice in percent.
        paper: the paper's value; None if it has none.
        best: whether it is the highest of its column, rounded to two decimals.
        best_method: whether it is the highest of the prompt learners and adapters.
    """

    value: float
    paper: float | None = None
    best: bool = False
    best_method: bool = False

    @property
    def difference(self) -> float | None:
        """Difference from the paper's value."""
        return None if self.paper is None else self.value - self.paper


@dataclass(frozen=True)
class Row:
    """One model with a method, and possibly a variant.

    Attributes:
        model: name of the model.
        method: name of the method, or of a baseline.
        variant: name of the variant, or None.
        is_baseline: whether the method is a baseline.
        group: title of the group.
        title: titles of model and method.
        initialization: initialization of the first context; only in Table 4.
        cells: cells by dataset, without the datasets that have no result.
        mean: mean over the row's datasets, with the paper's mean over the same datasets if it has all of them;
            None without scores.
        std: population standard deviation over the row's datasets, as in the paper; None for one dataset.
        paper_std: the paper's standard deviation over the same datasets.
        change: mean difference from the same row of Table 3, over the datasets of both; None in Table 3.
    """

    model: str
    method: str
    variant: str | None
    is_baseline: bool
    group: str
    title: tuple[str, str]
    initialization: str | None
    cells: Mapping[str, Cell]
    mean: Cell | None
    std: float | None
    paper_std: float | None
    change: float | None = None


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        number: number in the paper.
        title: title without the number.
        datasets: names of the columns, the paper's datasets first and in its order.
        rows: rows by group, in the paper's order within a group.
    """

    number: int
    title: str
    datasets: Sequence[str]
    rows: Sequence[Row]


def build_tables(results: Sequence[ExperimentResult], metric: str) -> list[Table]:
    """Return Tables 3, 4 and 5; a table without results has no rows.

    Args:
        results: results of one benchmark; runs with different seeds are one experiment with their mean.
        metric: one of ``METRICS``.
    """
    starts = {(result.spec.model, result.spec.method) for result in results if result.spec.variant == "gaussian"}
    chosen: dict[int, Callable[[ExperimentResult], bool]] = {
        MAIN_TABLE: lambda result: result.spec.table == MAIN_TABLE,
        4: lambda result: (
            result.spec.variant == "gaussian"
            or (result.spec.variant is None and (result.spec.model, result.spec.method) in starts)
        ),
        5: lambda result: result.spec.variant == "no_upsampler",
    }
    return [_table(number, filter(accept, results), results, metric) for number, accept in chosen.items()]


def _table(
    number: int, chosen: Iterable[ExperimentResult], everything: Sequence[ExperimentResult], metric: str
) -> Table:
    grouped: dict[_Key, list[ExperimentResult]] = {}
    for result in chosen:
        if result.score(metric) is not None or not result.at_model_resolution:
            grouped.setdefault(_key(result), []).append(result)
    datasets = ordered_datasets(result.spec.dataset for rows in grouped.values() for result in rows)
    keys = sorted(grouped, key=lambda key: (*row_order(grouped[key][0].spec), key[2] is None))
    rows = [_row(number, key, grouped[key], metric, datasets) for key in keys]
    if number == 5:
        rows = [_with_change(row, everything, metric) for row in rows]
    return Table(number, TITLES[number], datasets, _marked(rows, datasets))


def _group_title(spec: ExperimentSpec) -> str:
    """Return the title of a row's group; the methods of a variant of Table 3 are a group of their own."""
    title = spec.group.replace("_", "-")
    return VARIANTS[spec.variant].title.format(method=title) if spec.variant and spec.table == MAIN_TABLE else title


def _row(
    number: int,
    key: _Key,
    results: Sequence[ExperimentResult],
    metric: str,
    datasets: Sequence[str],
) -> Row:
    model, method, variant = key
    paper = paper_rows(number).get(key, PaperRow({}, None, None))
    values = _means(results, metric)
    cells = {name: Cell(values[name], paper.cells.get(name)) for name in datasets if name in values}
    theirs = [cell.paper for cell in cells.values() if cell.paper is not None]
    complete = bool(cells) and len(theirs) == len(cells)
    titles = results[0].facts["titles"]
    initialization = None
    method_title = results[0].method_title if number == MAIN_TABLE else titles["method"]
    if number == 4:
        initialization = "Gaussian" if variant == "gaussian" else WORDS
    return Row(
        model,
        method,
        variant,
        results[0].spec.baseline,
        _group_title(results[0].spec),
        (titles["model"], method_title),
        initialization,
        cells,
        mean=Cell(fmean(values.values()), fmean(theirs) if complete else None) if values else None,
        std=pstdev(values.values()) if len(values) > 1 else None,
        paper_std=pstdev(theirs) if complete and len(theirs) > 1 else None,
    )


def _key(result: ExperimentResult) -> _Key:
    return result.spec.model, result.spec.method, result.spec.variant


def _means(results: Sequence[ExperimentResult], metric: str) -> dict[str, float]:
    """Return the score on each dataset, as the mean over the seeds."""
    means = {}
    for runs in group_seeds(results):
        scores = [score for run in runs if (score := run.score(metric)) is not None]
        if scores:
            means[runs[0].spec.dataset] = fmean(scores)
    return means


def _with_change(row: Row, everything: Sequence[ExperimentResult], metric: str) -> Row:
    same = [result for result in everything if _key(result) == (row.model, row.method, None)]
    full = _means(same, metric)
    pairs = [(cell.value, value) for name, cell in row.cells.items() if (value := full.get(name)) is not None]
    return replace(row, change=fmean(ours - theirs for ours, theirs in pairs) if pairs else None)


def _marked(rows: Sequence[Row], datasets: Sequence[str]) -> list[Row]:
    """Mark the best cells of each column; only rows with all datasets compete for the best mean."""
    cells = {(index, name): cell for index, row in enumerate(rows) for name, cell in row.cells.items()}
    for name in datasets:
        column = {index: cells[index, name] for index in range(len(rows)) if (index, name) in cells}
        cells.update({(index, name): cell for index, cell in _best(column, rows).items()})
    full = {index: row.mean for index, row in enumerate(rows) if row.mean and len(row.cells) == len(datasets)}
    means = _best(full, rows)
    return [
        replace(row, cells={name: cells[index, name] for name in row.cells}, mean=means.get(index, row.mean))
        for index, row in enumerate(rows)
    ]


def _best(column: Mapping[int, Cell], rows: Sequence[Row]) -> dict[int, Cell]:
    """Mark the highest cells of a column; a column of one row has no best cell."""
    shown = {index: round(cell.value, 2) for index, cell in column.items()}
    methods = [value for index, value in shown.items() if not rows[index].is_baseline]
    if len(shown) < 2:
        return dict(column)
    return {
        index: replace(
            cell,
            best=shown[index] == max(shown.values()),
            best_method=not rows[index].is_baseline and shown[index] == max(methods),
        )
        for index, cell in column.items()
    }
