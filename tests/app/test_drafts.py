"""Drafts on disk, and the messages with pixels."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from monai_tunevlseg.app.drafts import DraftFolder, drafts_of
from monai_tunevlseg.app.picture_files import MAX_PIXELS
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


def message(labels=LABELS, **changes):
    """Return what the page sends."""
    height, width = labels.shape
    header = json.dumps({"names": NAMES, "width": width, "height": height} | changes).encode()
    runs = [(len([*run]), value) for value, run in itertools.groupby(labels.ravel().tolist())]
    lengths = b"".join(length.to_bytes(4, "little") for length, _ in runs)
    return len(header).to_bytes(4, "big") + header + lengths + bytes(value for _, value in runs)


@pytest.mark.parametrize("labels", [LABELS, LABELS // 3, np.zeros((7, 5), np.uint8), np.full((1, 1), 255, np.uint8)])
def test_messages_carry_label_maps(labels):
    header, found = unpack_label_map(message(labels))
    assert header == {"names": NAMES, "width": labels.shape[1], "height": labels.shape[0]}
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff{}",
        b"\0\0\0\2{}",
        b"\0\0\0\2[]",
        b"\0\0\0\2{x",
        message()[:-1],
        message() + b"x",
        message(width=-4),
        message(width=5),
        message(width="4"),
        message(width=True),
    ],
)
def test_damaged_messages_are_refused(damaged):
    with pytest.raises(ValueError, match="message|map"):
        unpack_label_map(damaged)


def test_a_map_of_too_many_pixels_is_refused():
    """A message of a few bytes that would need gigabytes."""
    runs = b"".join(count.to_bytes(4, "little") for count in (MAX_PIXELS, 1)) + b"\0\1"
    header = json.dumps({"width": MAX_PIXELS + 1, "height": 1}).encode()
    with pytest.raises(ValueError, match="64,000,001"):
        unpack_label_map(len(header).to_bytes(4, "big") + header + runs)


def test_the_answer_of_the_server_has_plain_maps():
    content = pack_maps({"names": NAMES}, LABELS)
    end = 4 + int.from_bytes(content[:4], "big")
    assert json.loads(content[4:end]) == {"names": NAMES, "width": 4, "height": 3}
    assert content[end:] == LABELS.tobytes()
