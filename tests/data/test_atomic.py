from __future__ import annotations

import pytest

from monai_tunevlseg.data.atomic import remove_unfinished, replacing


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


def test_only_what_was_to_become_this_file_is_removed(tmp_path):
    killed = f".7-{'a' * 32}-a.txt"
    kept = {"a.txt", ".a.txt", f".7-{'a' * 32}-b.txt", f".7-{'a' * 31}-a.txt", f"7-{'a' * 32}-a.txt"}
    for name in {killed, *kept}:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "a.txt")
    assert {path.name for path in tmp_path.iterdir()} == kept
    remove_unfinished(tmp_path / "no folder" / "a.txt")
