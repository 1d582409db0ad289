"""Reading and writing CSV files that are safe to open in a spreadsheet.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end for a formula, and names and
texts come from other people's files. Writing puts an apostrophe before such a text, and reading removes it; numbers are
written unchanged.
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
_ESCAPED = re.compile(rf"'+{_SIGNS}")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows atomically; None becomes an empty cell. Without columns, the file is empty.

    Raises:
        ValueError: when a row has a key that is not a column.
    """
    with atomic_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        if columns:
            table.writerow(_escape(column) for column in columns)
        for row in rows:
            if unknown := row.keys() - set(columns):
                raise ValueError(f"{path} has no column {', '.join(sorted(unknown))}.")
            table.writerow(_escape(row.get(column)) for column in columns)


def read_csv(path: Path) -> tuple[list[str], list[dict[str | None, str | None]]]:
    """Return the columns and rows of a file of :func:`write_csv`.

    As with ``csv.DictReader``, a row that is too short has None for missing cells, and a row that is too long has a key
    None.

    Raises:
        ValueError: when the file is not CSV in UTF-8; the message names it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, strict=True)
            columns, rows = list(table.fieldnames or []), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not CSV: {error}.") from error
    plain: list[dict[str | None, str | None]] = [
        {None if name is None else _unescape(name): _unescape(cell) for name, cell in row.items()} for row in rows
    ]
    return [_unescape(column) for column in columns], plain


def _escape(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _unescape(cell: Any) -> Any:
    return cell[1:] if isinstance(cell, str) and _ESCAPED.match(cell) else cell
