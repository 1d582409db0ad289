"""Tables 3, 4 and 5 as printed in the paper, from ``paper/`` in this package."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["PAPER_TABLES", "PaperRow", "paper_datasets", "paper_methods", "paper_rows"]

PAPER_TABLES = {3: None, 4: "gaussian", 5: "no_upsampler"}
"""Numbers of the tables, and the variant of each."""

_INITIALIZATIONS = {"gaussian": "gaussian", "a photo of a": None}


@dataclass(frozen=True)
class PaperRow:
    """One row of a table of the paper.

    Attributes:
        cells: Dice in percent by dataset.
        mean: mean as printed; None if the paper prints none.
        std: standard deviation as printed; None if the paper prints none.
    """

    cells: Mapping[str, float]
    mean: float | None
    std: float | None


@cache
def paper_rows(table: int) -> Mapping[tuple[str, str, str | None], PaperRow]:
    """Return the rows of a table by model, method and variant.

    Raises:
        ValueError: when the table has no results or does not exist.
    """
    if table not in PAPER_TABLES:
        raise ValueError(f"unknown table {table} of the paper; known tables: {', '.join(map(str, PAPER_TABLES))}.")
    path = Path(__file__).parent / "paper" / f"table{table}.csv"
    rows = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            model, method = line.pop("model"), line.pop("method")
            variant = PAPER_TABLES[table]
            if "initialization" in line:
                variant = _INITIALIZATIONS[line.pop("initialization")]
            mean, std = (float(cell) if (cell := line.pop(name)) else None for name in ("mean", "std"))
            cells = {dataset: float(cell) for dataset, cell in line.items()}
            rows[model, method, variant] = PaperRow(cells, mean, std)
    return rows


def paper_datasets() -> list[str]:
    """Return the paper's datasets in its order."""
    return list(next(iter(paper_rows(3).values())).cells)


def paper_methods() -> list[tuple[str, str]]:
    """Return (model, method) in the order of Table 3."""
    return [(model, method) for model, method, _ in paper_rows(3)]
