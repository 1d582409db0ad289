"""Dice that is lowered by the masks of absent texts, worked out by hand."""

import pytest
import torch
from monai.metrics import DiceMetric

from monai_tunevlseg.training import ObedientDiceMetric

TRUTH = [1, 0, 0, 0]
FOUND = [1, 1, 0, 0]
"""Dice 2 / 3."""
NOTHING = [0, 0, 0, 0]
DOT = [0, 0, 0, 1]


def masks(*rows):
    """Return one image's masks, (n, 2, 2)."""
    return torch.tensor(rows, dtype=torch.float32).view(len(rows), 2, 2)


def score(*items):
    """Return the mean over images of their predictions and of the truths of their own texts."""
    metric = ObedientDiceMetric()
    truths = [masks(truth, *[NOTHING] * (len(found) - 1)) for found, truth in items]
    metric([masks(*found) for found, _ in items], truths)
    return metric.aggregate().item()


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([FOUND], TRUTH, 2 / 3),
        ([FOUND, NOTHING, NOTHING], TRUTH, 2 / 3),
        ([FOUND, NOTHING, DOT], TRUTH, 2 / 3 * 3 / 4),
        ([FOUND, FOUND, DOT], TRUTH, 1 / 3),
        ([NOTHING, NOTHING, NOTHING], TRUTH, 0),
        ([NOTHING, NOTHING, NOTHING], NOTHING, 1),
        ([NOTHING, DOT], NOTHING, 1 / 2),
        ([DOT, NOTHING], NOTHING, 0),
    ],
)
def test_a_mask_of_an_absent_text_lowers_the_dice_of_its_image(found, truth, expected):
    assert score((found, truth)) == pytest.approx(expected)


def test_images_count_equally():
    assert score(([FOUND, DOT], TRUTH), ([TRUTH, NOTHING], TRUTH)) == pytest.approx((1 / 3 + 1) / 2)


def test_without_absent_texts_it_is_monais_metric():
    generator = torch.Generator().manual_seed(0)
    found, truth = (torch.randint(0, 2, (6, 1, 4, 5), generator=generator) for _ in range(2))
    truth[2:4] = found[3] = 0
    ours, theirs = ObedientDiceMetric(), DiceMetric(ignore_empty=False)
    assert torch.equal(ours(found, truth), theirs(found, truth))
    assert ours.aggregate() == theirs.aggregate()
