from __future__ import annotations

import pytest

from monai_tunevlseg.data.atomic import replacing


def test_finished_file_takes_the_place_and_keeps_the_suffix(tmp_path):
    path = tmp_path / "new" / "a.nii.gz"
    with replacing(path) as unfinished:
        assert unfinished.name.endswith("a.nii.gz")
        unfinished.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"


def test_interrupted_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
