"""YAML that people have edited."""

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
        (b"epochs: [1\nseed: 2\n", r"is not YAML \(.* in line 2\)"),
        (b"[" * 10_000, "is not YAML"),
        (b"epochs: !!python/object:os.system x", "is not YAML"),
        (b"\xff\xfe", "is not YAML in UTF-8"),
        (b"- 1\n", "holds a list"),
        (b"", "holds a NoneType"),
    ],
)
def test_what_is_not_a_mapping_is_named(content, message, tmp_path):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.yaml {message}"):
        read_yaml_mapping(tmp_path / "a.yaml")
