"""YAML files, well-formed and not."""

from __future__ import annotations

import pytest

from monai_tunevlseg.yaml_files import read_yaml_mapping


def test_a_mapping_is_read_with_or_without_a_byte_order_mark(tmp_path):
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "a.yaml").write_text("epochs: 3  # a comment\n", encoding=encoding)
        assert read_yaml_mapping(tmp_path / "a.yaml") == {"epochs": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs: [1\nseed: 2\n", "line 2"),
        (b"[" * 10_000, "YAML"),
        (b"epochs: !!python/object:os.system x", "python/object:os.system"),
        (b"\xff\xfe", "UTF-8.*byte 0"),
        (b"- 1\n", "list"),
        (b"", "NoneType"),
    ],
)
def test_errors_name_the_file(content, message, tmp_path):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.yaml.*{message}"):
        read_yaml_mapping(tmp_path / "a.yaml")
