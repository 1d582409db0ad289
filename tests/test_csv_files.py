"""CSV files are safe to open in a spreadsheet, and are read back unchanged."""

from __future__ import annotations

import csv

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monai_tunevlseg.csv_files import read_csv, write_csv

FORMULAS = ["=HYPERLINK(1)", "+1", "-2+3", "@SUM(A1)", "\tx", "\rx", "\nx", *"\uff1d\uff0b\uff0d\uff20"]


def raw(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_begins_like_a_formula(text, tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, ["name", text], [{"name": text, text: "'" + text}])
    assert raw(path) == [["name", "'" + text], ["'" + text, "''" + text]]
    assert read_csv(path) == (["name", text], [{"name": text, text: "'" + text}])


def test_negative_numbers_stay_numbers(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, ["a", "b", "c"], [{"a": -0.5, "b": -3, "c": None}])
    assert raw(path) == [["a", "b", "c"], ["-0.5", "-3", ""]]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
tricky = st.text("'=+-@\t\r\n\",a", max_size=5)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(text | tricky, text | tricky), min_size=1))
@example([("'=", "''")])
def test_reading_is_the_inverse_of_writing(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    written = [{"one": one, "two": two} for one, two in rows]
    write_csv(path, ["one", "two"], written)
    assert read_csv(path) == (["one", "two"], written)


def test_an_unknown_column_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError, match=r"table\.csv .*column other"):
        write_csv(tmp_path / "table.csv", ["one"], [{"one": 1, "other": 2}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"\x89PNG\xff", b'"open'])
def test_the_error_names_a_file_that_is_not_csv(content, tmp_path):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"table\.csv "):
        read_csv(tmp_path / "table.csv")


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path):
    (tmp_path / "table.csv").write_bytes("one,two\n1,2\n".encode("utf-8-sig"))
    assert read_csv(tmp_path / "table.csv") == (["one", "two"], [{"one": "1", "two": "2"}])
