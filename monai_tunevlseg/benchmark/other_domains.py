"""Runs that were trained on one dataset and tested on others, from the results of ``tunevlseg transfer``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_tunevlseg.benchmark.measure import Measure, mean_measure
from monai_tunevlseg.benchmark.results_folder import FAILURE_FILE, ReportProblem, failure_message
from monai_tunevlseg.transfer import (
    TRANSFER_FILE,
    MatrixRow,
    TransferResult,
    dataset_columns,
    matrix_rows,
    read_transfer,
)
from monai_tunevlseg.transfer.matrix import Cell

__all__ = ["TRANSFER_FOLDER", "DomainRow", "OtherDomains", "read_other_domains"]

TRANSFER_FOLDER = "transfer"
"""Folder of the results of ``tunevlseg transfer`` in the results folder of a benchmark."""

SEED = re.compile(r"-seed\d+(?=$|,)")  # of a run's name
SHOTS = re.compile(r"-shots(\d{1,7})(?=$|-|,)")


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

    @property
    def few_images(self) -> bool:
        """Whether it was trained with a number of images per class."""
        return SHOTS.search(self.title) is not None


@dataclass(frozen=True)
class OtherDomains:
    """The matrix of training and test datasets.

    Attributes:
        names: names of the tested datasets, those of a training first.
        rows: experiments by the dataset of the training.
        seen: numbers of tested images that the training has seen and of all tested ones, by the datasets of training
            and test; of several runs, the largest share.
    """

    names: Sequence[str]
    rows: Sequence[DomainRow]
    seen: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    @property
    def seen_text(self) -> str:
        """Which scores are optimistic, in a sentence; empty where none is known to be."""
        if not self.seen:
            return ""
        listed = [f"{seen} of {images} of {test} by runs on {own}" for (own, test), (seen, images) in self.seen.items()]
        return (
            "Test images that the training has seen, as copies or nearly the same, which makes their scores "
            f"optimistic: {'; '.join(listed)}."
        )


def read_other_domains(folder: Path, metric: str, problems: list[ReportProblem]) -> OtherDomains:
    """Read the transfers in a results folder; without any, the matrix has no rows.

    Args:
        folder: results folder of a benchmark.
        metric: one of ``METRICS``.
        problems: receives the files that cannot be read, or lack the metric.
    """
    rows: list[MatrixRow] = []
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    found = [path for name in (TRANSFER_FILE, FAILURE_FILE) for path in (folder / TRANSFER_FOLDER).rglob(name)]
    for path in sorted(found):
        try:
            if path.name == FAILURE_FILE:
                problems.append(ReportProblem(path.parent.relative_to(folder).as_posix(), failure_message(path)))
            else:
                result = read_transfer(path.parent)
                rows += matrix_rows([result], metric)
                _add_seen(seen, result)
        except (OSError, ValueError) as error:
            place = path.relative_to(folder).as_posix()
            problems.append(ReportProblem(place, str(error).replace(f"{folder}/", "")))
    grouped: dict[tuple[str, str | None, frozenset[str]], list[MatrixRow]] = {}
    for row in sorted(rows, key=_order):
        grouped.setdefault((SEED.sub("", row.label), row.trained_on, frozenset(row.datasets)), []).append(row)
    domains = [_row(title, trained_on, found) for (title, trained_on, _), found in grouped.items()]
    return OtherDomains(dataset_columns(rows), domains, seen)


def _order(row: MatrixRow) -> tuple[str, str, float, str]:
    """Return the sort key of a run: dataset of the training, experiment, number of images, and the whole name."""
    shots = SHOTS.search(row.label)
    experiment = SEED.sub("", SHOTS.sub("", row.label))
    return row.trained_on or "", experiment, int(shots[1]) if shots else math.inf, row.label


def _add_seen(seen: dict[tuple[str, str], tuple[int, int]], result: TransferResult) -> None:
    """Add the test images of a run that its training has seen."""
    for target in result["tuned"]["targets"]:
        count = sum(map(len, target.get("seen_in_training", {}).values()))
        key = result["trained_on"], target["name"]
        if count and (key not in seen or count * seen[key][1] > seen[key][0] * target["images"]):
            seen[key] = count, target["images"]


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
