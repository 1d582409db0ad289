"""Presence in MONAI's evaluator, whose decollating takes a batch's predictions apart."""

import pytest
import torch
from monai.data import MetaTensor, decollate_batch

from monai_tunevlseg.segmentation import Segmentation
from monai_tunevlseg.training import SilenceAbsentd, predictions_and_targets

LOGITS = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
PRESENCE = torch.tensor([[2.0, -2.0], [-0.1, 0.1], [0.0, -5.0]])


def decollated(prediction):
    return decollate_batch({"pred": prediction, "logits": prediction, "target": (LOGITS > 0).float()})


def test_masks_of_texts_that_are_probably_absent_become_empty():
    items = [SilenceAbsentd("pred")(item) for item in decollated(Segmentation(LOGITS, PRESENCE))]
    found = torch.stack([item["pred"] for item in items])
    absent = torch.tensor([[False, True], [True, False], [False, True]])
    assert torch.equal(found[~absent], LOGITS[~absent])
    assert (found[absent].sigmoid() == 0).all()


@pytest.mark.parametrize(("threshold", "kept"), [(0.0, 6), (0.45, 4), (0.9, 0)])
def test_the_threshold_is_a_probability(threshold, kept):
    transform = SilenceAbsentd("pred", threshold)
    found = [transform(item)["pred"] for item in decollated(Segmentation(LOGITS, PRESENCE))]
    assert sum(int((mask > -100).all()) for item in found for mask in item) == kept


def test_logits_without_presence_stay():
    for item, logits in zip(decollated(LOGITS), LOGITS, strict=True):
        assert torch.equal(SilenceAbsentd("pred")(item)["pred"], logits)


def test_the_loss_gets_the_predictions_of_the_batch_back():
    prediction, target = predictions_and_targets(decollated(Segmentation(LOGITS, PRESENCE)))
    assert isinstance(prediction, Segmentation)
    assert torch.equal(prediction.logits, LOGITS) and torch.equal(prediction.presence, PRESENCE)
    assert torch.equal(target, (LOGITS > 0).float())
    prediction, _ = predictions_and_targets(decollated(MetaTensor(LOGITS)))
    assert torch.equal(prediction, LOGITS)
