"""Samples are recognized on every machine, and no change goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_tunevlseg.data.samples import digest_samples


@pytest.fixture
def samples(tmp_path):
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(b"x" * 7)
    return [{"image": str(tmp_path / f"{n}.png"), "label": [str(tmp_path / "2.png")], "text": "polyp"} for n in (1, 2)]


def test_samples_are_known_by_names_sizes_texts_and_order(samples, tmp_path):
    digest = digest_samples(samples)
    assert digest_samples(samples) == digest
    others = [samples[::-1], samples[:1], [sample | {"text": "lesion"} for sample in samples]]
    (tmp_path / "moved").mkdir()
    for path in tmp_path.glob("*.png"):
        (tmp_path / "moved" / path.name).write_bytes(path.read_bytes())
    moved = [
        sample | {key: str(tmp_path / "moved" / Path(sample["image"]).name) for key in ["image"]} for sample in samples
    ]
    assert digest_samples(moved) == digest
    assert len({digest, *map(digest_samples, others)}) == 4
    (tmp_path / "1.png").write_bytes(b"longer")
    assert digest_samples(samples) != digest
