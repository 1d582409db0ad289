"""Reductions against the same values computed from all logits at once."""

import pytest
import torch

from monai_tunevlseg.reductions import (
    UNCALIBRATED,
    binary_entropy,
    entropy_map,
    label_map,
    label_map_with_confidence,
    label_map_with_probabilities,
)

CUTS = torch.tensor([0.0, 0.4, -0.1, 0.0])
"""Of four classes."""


@pytest.fixture
def logits():
    """Logits (B, K, H, W) of four classes, of which each is the most probable one somewhere."""
    return torch.randn(2, 4, 20, 15, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cuts", [torch.zeros(4), CUTS])
def test_the_class_furthest_above_its_cut_is_shown(logits, cuts):
    margin, best = (logits - cuts[:, None, None]).max(dim=1, keepdim=True)
    expected = ((best + 1) * (margin > 0)).to(torch.uint8)
    assert expected.unique().tolist() == [0, 1, 2, 3, 4]
    streams = (iter(logits.split(1, dim=1)) for _ in range(3))
    labels, confident, probable = (
        reduction(stream, iter(cuts.tolist()))
        for reduction, stream in zip(
            (label_map, label_map_with_confidence, label_map_with_probabilities), streams, strict=True
        )
    )
    assert labels.dtype == torch.uint8 and torch.equal(labels, expected)
    assert torch.equal(confident[:, :1], expected.float()) and torch.equal(probable[:, :1], expected.float())
    torch.testing.assert_close(probable[:, 1:], logits.sigmoid())
    shown = logits.sigmoid().gather(1, best) * (margin > 0)
    torch.testing.assert_close(confident[:, 1:], shown)


def test_one_class_is_shown_where_it_is_probable(logits):
    one = logits[:, :1]
    assert torch.equal(label_map(iter([one]), UNCALIBRATED), (one > 0).to(torch.uint8))


def test_values_are_float32_of_any_precision(logits):
    rough = logits.bfloat16()
    for reduction in (label_map_with_confidence, label_map_with_probabilities):
        found = reduction(iter(rough.split(1, dim=1)), UNCALIBRATED)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, reduction(iter(rough.float().split(1, dim=1)), UNCALIBRATED))


def test_entropy_is_one_bit_of_a_guess_and_none_of_certainty():
    assert binary_entropy(torch.tensor([200.0, -200.0, 0.0])).tolist() == [0, 0, 1]
    quarter = torch.tensor(0.25, dtype=torch.float64).logit()
    assert binary_entropy(quarter).item() == pytest.approx(0.811278, abs=1e-6)  # the textbook's H(1/4)
    assert entropy_map(iter([torch.tensor([[[[200.0, -200.0]]]])])).tolist() == [[[[0.0, 0.0]]]]
