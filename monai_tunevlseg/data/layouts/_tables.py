"""Reading the tables that owners put beside their images."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["read_columns"]

XML = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
"""Namespace of the elements of Excel's workbooks (ECMA-376, part 1)."""
SHEET, TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
UNREADABLE = (UnicodeDecodeError, csv.Error, zipfile.BadZipFile, KeyError, IndexError, ElementTree.ParseError)


def read_columns(path: Path, key: str, value: str) -> dict[str, str]:
    """Read two columns of a table whose first row names the columns: a CSV file or the first sheet of a workbook.

    Args:
        path: a file `.csv`, in UTF-8, or `.xlsx`.
        key: name of the column of the keys; rows without a key are skipped.
        value: name of the column of the values.

    Returns:
        the text of the value, or "" where it is missing, by the text of the key.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it is not such a table, or lacks a column.
    """
    try:
        rows = _read_workbook(path) if path.suffix.lower() == ".xlsx" else _read_csv(path)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read as a table ({error}); replace the file.") from error
    columns = {text: column for column, text in rows[0].items()} if rows else {}
    if missing := [name for name in (key, value) if name not in columns]:
        raise ValueError(f"{path} has no column {' and no column '.join(missing)}; replace the file.")
    texts = {row.get(columns[key], ""): row.get(columns[value], "") for row in rows[1:]}
    return {name: text for name, text in texts.items() if name}


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{str(index): text.strip() for index, text in enumerate(row)} for row in csv.reader(file)]


def _read_workbook(path: Path) -> list[dict[str, str]]:
    """Return the texts of each row by their columns, A, B and so on; a number is the text that it is stored as."""
    with zipfile.ZipFile(path) as file:
        items = ElementTree.fromstring(file.read(TEXTS)) if TEXTS in file.namelist() else ()
        sheet = ElementTree.fromstring(file.read(SHEET))
    shared = [_inline_text(item) for item in items]
    return [
        {cell.get("r", "").rstrip("0123456789"): _text_of(cell, shared).strip() for cell in row.iter(f"{XML}c")}
        for row in sheet.iter(f"{XML}row")
    ]


def _text_of(cell: ElementTree.Element, shared: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _inline_text(cell)
    value = cell.findtext(f"{XML}v", "")
    return shared[int(value)] if cell.get("t") == "s" else value


def _inline_text(element: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in element.iter(f"{XML}t"))
