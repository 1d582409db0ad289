"""Tables that owners put beside their images."""

from __future__ import annotations

import zipfile

import pytest
from target_trees import write_workbook

from monai_tunevlseg.data.layouts._tables import read_columns


def test_columns_of_a_workbook_are_read_as_they_are_stored(tmp_path):
    table = tmp_path / "table.xlsx"
    write_workbook(table, [("Image", "Type "), (1, "Benign"), ("000002", " A & <b>"), (3,), ("", "x")])
    assert read_columns(table, "Image", "Type") == {"1": "Benign", "000002": "A & <b>", "3": ""}
    assert read_columns(table, "Type", "Image") == {"Benign": "1", "A & <b>": "000002", "x": ""}


def test_texts_within_the_cells_of_a_workbook(tmp_path):
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    cells = "".join(f'<c r="{column}1" t="inlineStr"><is><t>{column}</t></is></c>' for column in "AB")
    row = '<row><c r="B2" t="str"><v>b</v></c><c r="A2" t="inlineStr"><is><r><t>a</t></r><r><t>a</t></r></is></c></row>'
    with zipfile.ZipFile(tmp_path / "table.xlsx", "w") as file:
        file.writestr("xl/worksheets/sheet1.xml", f'<worksheet xmlns="{space}"><row>{cells}</row>{row}</worksheet>')
    assert read_columns(tmp_path / "table.xlsx", "A", "B") == {"aa": "b"}


def test_columns_of_a_csv_file_with_a_mark_and_quotes(tmp_path):
    (tmp_path / "table.csv").write_bytes(b'\xef\xbb\xbfID,Note,Kind\r\na,"x, y", benign\r\nb,z\r\n\r\n')
    assert read_columns(tmp_path / "table.csv", "ID", "Kind") == {"a": "benign", "b": ""}


@pytest.mark.parametrize("name", ["table.csv", "table.xlsx"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"PK\x03\x04 no archive"])
def test_files_that_are_no_table_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        read_columns(tmp_path / name, "ID", "Kind")


def test_a_workbook_without_a_sheet_and_a_table_without_a_column_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "table.xlsx", "w") as file:
        file.writestr("mimetype", "")
    with pytest.raises(ValueError, match=r"table\.xlsx .*sheet1"):
        read_columns(tmp_path / "table.xlsx", "ID", "Kind")
    (tmp_path / "table.csv").write_text("ID,Case\na,1\n")
    with pytest.raises(ValueError, match="no column Kind"):
        read_columns(tmp_path / "table.csv", "ID", "Kind")
