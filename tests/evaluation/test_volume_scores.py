"""Scores of whole volumes from their slices, against the volumes' arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monai_tunevlseg.evaluation import Bootstrap, PairScores
from monai_tunevlseg.evaluation.summary import (
    is_empty_slice,
    summarize_empty_slices,
    summarize_volumes,
    volumes_of,
)


def cut(name, label, predicted):
    """Return the pairs of the slices, and the number of pixels in both mask and prediction of each."""
    pairs = [
        PairScores(name, number, "x", "x", label_pixels_original=int(a.sum()), predicted_pixels_original=int(b.sum()))
        for number, (a, b) in enumerate(zip(label, predicted, strict=True))
    ]
    return pairs, [int((a & b).sum()) for a, b in zip(label, predicted, strict=True)]


@given(hnp.arrays(bool, (2, 3, 4, 3, 3)), st.randoms())
def test_dice_of_a_volume_is_that_of_its_arrays(masks, random):
    pairs, common = [], []
    for name, (label, predicted) in zip("ab", masks[:, :2], strict=True):
        found, shared = cut(name, label, predicted)
        pairs += found
        common += shared
    order = random.sample(range(len(pairs)), len(pairs))
    volumes = volumes_of([pairs[i] for i in order], [common[i] for i in order])
    assert [volume.image for volume in volumes] == ["a", "b"]
    expected = []
    for volume, (label, predicted, _) in zip(volumes, masks, strict=True):
        size = label.sum() + predicted.sum()
        expected.append(200 * (label & predicted).sum() / size if size else 100)
        assert volume.dice == pytest.approx(expected[-1])
    summary = summarize_volumes(volumes, Bootstrap(resamples=10))
    assert summary["dice"] == pytest.approx(np.mean(expected))
    assert summary["classes"] == {"x": pytest.approx(np.mean(expected))}


def test_a_good_mean_over_slices_hides_false_positives_elsewhere():
    label = np.zeros((10, 4, 4), bool)
    label[0] = True
    pairs, common = cut("a", label, np.ones_like(label))
    assert [is_empty_slice(pair) for pair in pairs] == [False] + [True] * 9
    (volume,) = volumes_of(pairs, common)
    assert volume.dice == pytest.approx(100 * 2 / 11)
    assert summarize_empty_slices(pairs[1:]) == {
        "pairs": 9,
        "with_prediction": 9,
        "false_positive_share": 100,
        "predicted_pixels_original": 144,
    }


def test_a_picture_is_not_a_volume_and_not_an_empty_slice():
    picture = PairScores("a.png", None, "x", "x")
    assert volumes_of([picture], [0]) == []
    assert not is_empty_slice(picture)
    assert summarize_empty_slices([])["false_positive_share"] is None
