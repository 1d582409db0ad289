"""Drafts on disk, and the messages with pixels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from monai_tunevlseg.app.drafts import DraftFolder, drafts_of
from monai_tunevlseg.app.pixel_messages import pack_maps, unpack_label_map

LABELS = np.arange(12, dtype=np.uint8).reshape(3, 4)
NAMES = {"polyp": 1, "Blutgefäß": 2}


@pytest.mark.parametrize("image", ["picture0", "patient1/scan", "../../escape", "/etc/passwd", "ä" * 300])
def test_a_draft_is_read_as_it_was_saved(tmp_path, image):
    drafts = DraftFolder(tmp_path / "drafts")
    assert drafts.read(image) is None and drafts.images() == []
    drafts.save(image, LABELS, {"names": NAMES})
    labels, info = DraftFolder(tmp_path / "drafts").read(image)
    np.testing.assert_array_equal(labels, LABELS)
    assert info["names"] == NAMES and drafts.images() == [image]
    assert [path.parent.name for path in tmp_path.rglob("*.png")] == ["drafts"]
    drafts.remove(image)
    drafts.remove(image)
    assert drafts.images() == []


def test_the_latest_draft_comes_first(tmp_path):
    drafts = DraftFolder(tmp_path)
    for number, image in enumerate("abc"):
        drafts.save(image, LABELS, {})
        newest = max(tmp_path.iterdir(), key=lambda file: file.stat().st_ctime_ns)
        os.utime(newest, (number, number))
    assert drafts.images() == ["c", "b", "a"]


def test_a_failed_save_keeps_the_draft_before(tmp_path):
    drafts = DraftFolder(tmp_path)
    drafts.save("a", LABELS, {})
    with pytest.raises(TypeError):
        drafts.save("a", np.zeros((2, 2, 7), np.uint8), {})
    np.testing.assert_array_equal(drafts.read("a")[0], LABELS)
    assert len(list(tmp_path.iterdir())) == 1


def test_servers_have_folders_of_their_own(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    first, second = drafts_of("http://127.0.0.1:8000"), drafts_of("/pictures")
    assert first != second and first.is_relative_to(Path("/state/monai_tunevlseg"))


def test_messages_carry_label_maps():
    header, labels = unpack_label_map(pack_maps({"names": NAMES}, LABELS))
    assert header == {"names": NAMES, "width": 4, "height": 3}
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff{}",
        b"\0\0\0\2{}",
        b"\0\0\0\2[]",
        b"\0\0\0\2{x",
        pack_maps({}, LABELS)[:-1],
        pack_maps({}, LABELS) + b"x",
        pack_maps({}, LABELS).replace(b'"width": 4', b'"width":-4'),
    ],
)
def test_damaged_messages_are_refused(message):
    with pytest.raises(ValueError, match="message|map"):
        unpack_label_map(message)
