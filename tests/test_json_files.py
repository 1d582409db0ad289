import pytest

from monai_tunevlseg.json_files import read_json, read_json_object

DAMAGED = {
    "half": b'{"a": [1, 2',
    "empty": b"",
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "latin-1": '{"a": "é"}'.encode("latin-1"),
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "long number": b"1" * 5000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_errors_of_damaged_files_name_the_file(tmp_path, content):
    (tmp_path / "odd.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.json"):
        read_json(tmp_path / "odd.json")


def test_byte_order_mark_is_ignored(tmp_path):
    (tmp_path / "windows.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json_object(tmp_path / "windows.json") == {"a": 1}


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_json(tmp_path / "none.json")
    with pytest.raises(ValueError, match=tmp_path.name):
        read_json(tmp_path)


@pytest.mark.parametrize("content", ["[]", "1", '"a"', "null"])
def test_object_is_required(tmp_path, content):
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(ValueError, match=r"list\.json"):
        read_json_object(tmp_path / "list.json")
