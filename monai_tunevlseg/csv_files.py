"""Writing CSV whose texts a spreadsheet takes for texts, and reading it again.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tabulator or a line end is a formula to a spreadsheet, and names
and texts come from other people's files. Such a text gets an apostrophe before it, which is taken away in reading;
numbers are written unchanged.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.atomic_files import atomic_file

__all__ = ["read_csv", "write_csv"]

_SIGNS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # the last four are wide forms of the first four
_FORMULA = re.compile(rf"'*{_SIGNS}")  # with apostrophes of its own, so that reading is the inverse of writing
_GUARDED = re.compile(rf"'+{_SIGNS}")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, whole or not at all; what is None is an empty cell. Without columns the file is empty.

    Raises:
        ValueError: when a row has a value for a column that is not there.
    """
    with atomic_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        if columns:
            table.writerow(_guarded(column) for column in columns)
        for row in rows:
            if unknown := row.keys() - set(columns):
                raise ValueError(f"{path} has no column {', '.join(sorted(unknown))}.")
            table.writerow(_guarded(row.get(column)) for column in columns)


def read_csv(path: Path) -> tuple[list[str], list[dict[str | None, str | None]]]:
    """Return columns and rows of what :func:`write_csv` has written.

    A row that is too short has None for what it lacks, and one that is too long has a column None, as of
    ``csv.DictReader``.

    Raises:
        ValueError: when the file is not CSV in UTF-8; names it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, strict=True)
            columns, rows = list(table.fieldnames or []), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not CSV: {error}.") from error
    plain: list[dict[str | None, str | None]] = [
        {None if name is None else _plain(name): _plain(cell) for name, cell in row.items()} for row in rows
    ]
    return [_plain(column) for column in columns], plain


def _guarded(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _plain(cell: Any) -> Any:
    return cell[1:] if isinstance(cell, str) and _GUARDED.match(cell) else cell
