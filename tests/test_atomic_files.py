from __future__ import annotations

import pytest

from monai_tunevlseg.atomic_files import (
    atomic_file,
    atomic_folder,
    remove_unfinished,
    unfinished_path,
    write_text_atomically,
)


def test_finished_file_takes_the_place_and_keeps_the_suffix(tmp_path):
    path = tmp_path / "new" / "a.nii.gz"
    with atomic_file(path) as unfinished:
        assert unfinished.name.endswith("a.nii.gz")
        unfinished.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"


def test_interrupted_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_is_written_in_utf_8(tmp_path):
    write_text_atomically(tmp_path / "new" / "a.txt", "\u00e9\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"\xc3\xa9\n"


@pytest.mark.parametrize("exists", [False, True])
def test_a_finished_folder_takes_its_place(exists, tmp_path):
    folder = tmp_path / "new" / "folder"
    if exists:
        folder.mkdir(parents=True)
    with atomic_folder(folder) as unfinished:
        (unfinished / "a.txt").write_text("new")
        assert not folder.exists() or not list(folder.iterdir())
    assert (folder / "a.txt").read_text() == "new"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_holds_files_is_kept(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old.txt").touch()
    with pytest.raises(OSError), atomic_folder(folder) as unfinished:
        (unfinished / "new.txt").touch()
    assert list(tmp_path.iterdir()) == [folder] and list(folder.iterdir()) == [folder / "old.txt"]


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "folder") as unfinished:
        (unfinished / "half.txt").touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_only_what_was_to_become_this_file_is_removed(tmp_path):
    path, other = tmp_path / "a-name-that-ends-like-another.txt", tmp_path / "that-ends-like-another.txt"
    file, folder, kept = unfinished_path(path), unfinished_path(path), unfinished_path(other)
    for left in (path, file, kept):
        left.touch()
    (folder / "inner").mkdir(parents=True)
    remove_unfinished(path)
    assert set(tmp_path.iterdir()) == {path, kept}
    remove_unfinished(tmp_path / "no folder" / "a.txt")


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u8178", "\U0001f600", "\udcff"])
def test_the_longest_name_that_a_file_system_takes_can_be_replaced(letter, tmp_path):
    size = len(letter.encode(errors="surrogateescape"))
    path = tmp_path / (letter * ((255 - 7) // size) + ".nii.gz")
    with atomic_file(path) as unfinished:
        assert unfinished.name.endswith(".nii.gz")
        unfinished.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
