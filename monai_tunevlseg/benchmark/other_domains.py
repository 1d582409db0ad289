"""Runs that were trained on one dataset and tested on others, from the results of ``tunevlseg transfer``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_tunevlseg.benchmark.measure import Measure, mean_measure
from monai_tunevlseg.benchmark.results_folder import ReportProblem
from monai_tunevlseg.transfer import TRANSFER_FILE, MatrixRow, dataset_columns, matrix_rows, read_transfer
from monai_tunevlseg.transfer.matrix import Cell

__all__ = ["TRANSFER_FOLDER", "DomainRow", "OtherDomains", "read_other_domains"]

TRANSFER_FOLDER = "transfer"
"""Folder of the results of ``tunevlseg transfer`` in the results folder of a benchmark."""

SEED = re.compile(r"-seed\d+(?=$|,)")  # of a run's name


@dataclass(frozen=True)
class DomainRow:
    """An experiment that was trained on one dataset, or its base model.

    Attributes:
        title: name of the experiment, without the seed.
        trained_on: name of the dataset that it was trained on; None = zero-shot.
        runs: number of seeds.
        datasets: score on each dataset by name, in percent, as the mean over the seeds; that of a single run has an
            interval.
        summary: in-domain (``id``), out-of-domain (``ood``) and their harmonic mean (``harmonic_mean``).
    """

    title: str
    trained_on: str | None
    runs: int
    datasets: Mapping[str, Measure]
    summary: Mapping[str, Measure]


@dataclass(frozen=True)
class OtherDomains:
    """The matrix of training and test datasets.

    Attributes:
        names: names of the tested datasets, those of a training first.
        rows: experiments by the dataset of the training.
    """

    names: Sequence[str]
    rows: Sequence[DomainRow]


def read_other_domains(folder: Path, metric: str, problems: list[ReportProblem]) -> OtherDomains:
    """Read the transfers in a results folder; without any, the matrix has no rows.

    Args:
        folder: results folder of a benchmark.
        metric: one of ``METRICS``.
        problems: receives the files that cannot be read, or lack the metric.
    """
    rows: list[MatrixRow] = []
    for path in sorted((folder / TRANSFER_FOLDER).rglob(TRANSFER_FILE)):
        try:
            rows += matrix_rows([read_transfer(path.parent)], metric)
        except (OSError, ValueError) as error:
            place = path.relative_to(folder).as_posix()
            problems.append(ReportProblem(place, str(error).replace(f"{folder}/", "")))
    grouped: dict[tuple[str, str | None], list[MatrixRow]] = {}
    for row in sorted(rows, key=lambda row: (row.trained_on or "", row.label)):
        grouped.setdefault((SEED.sub("", row.label), row.trained_on), []).append(row)
    domains = [_row(title, trained_on, found) for (title, trained_on), found in grouped.items()]
    return OtherDomains(dataset_columns(rows), domains)


def _row(title: str, trained_on: str | None, rows: Sequence[MatrixRow]) -> DomainRow:
    datasets = dict.fromkeys(name for row in rows for name in row.datasets)
    return DomainRow(
        title,
        trained_on,
        len(rows),
        {name: _measure([row.datasets for row in rows], name) for name in datasets},
        {name: _measure([row.summary for row in rows], name) for name in rows[0].summary},
    )


def _measure(rows: Sequence[Mapping[str, Cell]], name: str) -> Measure:
    cells = [row[name] for row in rows if name in row]
    low, high = (cells[0].interval if len(rows) == 1 else None) or (None, None)
    interval = None if low is None or high is None else (low, high)
    return mean_measure([cell.value for cell in cells], interval)
