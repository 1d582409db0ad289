"""The matrix of a transfer: runs in rows, by the dataset that they were trained on; tested datasets in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.csv_files import write_csv
from monai_tunevlseg.evaluation.bootstrap import Interval
from monai_tunevlseg.markdown import escape_markdown

__all__ = ["SUMMARY_TITLES", "Cell", "MatrixRow", "dataset_columns", "matrix_rows", "write_matrix"]

SUMMARY_TITLES: Mapping[str, str] = {"id": "ID", "ood": "OOD", "harmonic_mean": "HM"}
"""In-domain, out-of-domain and harmonic mean."""


@dataclass(frozen=True)
class Cell:
    """A score in percent, its interval, and whether the dataset is that of the training."""

    value: float
    interval: Interval | None = None
    is_source: bool = False


@dataclass(frozen=True)
class MatrixRow:
    """The scores of a run, or of its base model.

    Attributes:
        label: the run.
        trained_on: name of the dataset that it was trained on; None = zero-shot.
        datasets: the score on each dataset by name.
        summary: the scores of ``SUMMARY_TITLES`` by key.
    """

    label: str
    trained_on: str | None
    datasets: Mapping[str, Cell]
    summary: Mapping[str, Cell]


def matrix_rows(results: Sequence[Mapping[str, Any]], metric: str) -> list[MatrixRow]:
    """Return a row for each result of a transfer and, where it is measured, for its zero-shot network.

    Raises:
        ValueError: when a result lacks the metric; lists those that it has.
    """
    return [row for result in results for row in _rows_of(result, metric)]


def dataset_columns(rows: Sequence[MatrixRow]) -> list[str]:
    """Return the names of the tested datasets, those that a run was trained on first."""
    sources = dict.fromkeys(row.trained_on for row in rows if row.trained_on is not None)
    return list(sources | dict.fromkeys(name for row in rows for name in row.datasets))


def write_matrix(folder: Path, rows: Sequence[MatrixRow], metric: str) -> None:
    """Write ``matrix.csv`` and ``matrix.md``."""
    names = dataset_columns(rows)
    write_csv(
        folder / "matrix.csv",
        ["run", "trained_on", *names, *SUMMARY_TITLES],
        (
            {"run": row.label, "trained_on": row.trained_on or "zero-shot"}
            | {name: cell.value for name, cell in {**row.datasets, **row.summary}.items()}
            for row in rows
        ),
    )
    head = ["run", "trained on", *names, *SUMMARY_TITLES.values()]
    lines = [f"| {' | '.join(map(escape_markdown, head))} |", f"|---|---|{'---:|' * (len(head) - 2)}"]
    lines += [f"| {' | '.join(_markdown_cells(row, names))} |" for row in rows]
    text = f"{metric} in percent with its 95 % interval; bold: the test split of the dataset that a run was trained on"
    write_text_atomically(folder / "matrix.md", "\n".join([f"{escape_markdown(text)}.", "", *lines, ""]))


def _rows_of(result: Mapping[str, Any], metric: str) -> Iterator[MatrixRow]:
    for kind, suffix in (("tuned", ""), ("zero_shot", ", zero-shot")):
        scores = result[kind]
        if scores is None:
            continue
        if metric not in scores["summary"]:
            raise ValueError(f"{result['run']} has no metric {metric!r}; it has {', '.join(scores['summary'])}.")
        datasets = [(scores["source"], kind == "tuned"), *((target, False) for target in scores["targets"])]
        if lacking := [dataset["name"] for dataset, _ in datasets if dataset["scores"].get(metric) is None]:
            raise ValueError(f"{result['run']} has no {metric!r} on {lacking[0]}; run the transfer again.")
        summary = scores["summary"][metric]
        yield MatrixRow(
            result["run"] + suffix,
            result["trained_on"] if kind == "tuned" else None,
            {
                dataset["name"]: Cell(dataset["scores"][metric], dataset["intervals"].get(metric), is_source)
                for dataset, is_source in datasets
            },
            {name: Cell(summary[name], summary[f"{name}_interval"]) for name in SUMMARY_TITLES},
        )


def _markdown_cells(row: MatrixRow, names: Sequence[str]) -> list[str]:
    cells = [row.datasets.get(name) for name in names] + [row.summary[name] for name in SUMMARY_TITLES]
    return [escape_markdown(row.label), escape_markdown(row.trained_on or "–"), *map(_markdown_cell, cells)]


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    value = f"**{cell.value:.2f}**" if cell.is_source else f"{cell.value:.2f}"
    return value if cell.interval is None else f"{value} ({cell.interval[0]:.2f} to {cell.interval[1]:.2f})"
