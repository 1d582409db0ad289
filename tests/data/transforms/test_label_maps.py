from __future__ import annotations

import torch
from monai.data import MetaTensor

from monai_tunevlseg.data import LogitsToLabelMapd


def test_label_map_takes_the_most_probable_class_above_one_half():
    logits = torch.tensor([[-1.0, 2.0, 1.0, 0.0], [-2.0, 1.0, 3.0, 0.0]]).reshape(2, 1, 4)
    result = LogitsToLabelMapd("pred")({"pred": MetaTensor(logits, meta={"filename_or_obj": "a"}), "text": "x"})
    assert result["pred"].tolist() == [[[0, 1, 2, 0]]]
    assert result["pred"].dtype == torch.uint8
    assert result["pred"].meta["filename_or_obj"] == "a"
    assert LogitsToLabelMapd("pred")({"pred": logits[:1]})["pred"].tolist() == [[[0, 1, 1, 0]]]


def test_label_map_equals_its_definition():
    logits = torch.randn(5, 4, 6, 3, generator=torch.Generator().manual_seed(0))
    probabilities = logits.sigmoid()
    expected = torch.where(probabilities.amax(0) > 0.5, probabilities.argmax(0) + 1, 0)
    assert torch.equal(LogitsToLabelMapd("pred")({"pred": logits})["pred"][0], expected)
