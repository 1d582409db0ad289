"""Conversion of logits to a label map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.transforms import MapTransform

__all__ = ["LogitsToLabelMapd"]


class LogitsToLabelMapd(MapTransform):
    """Converts logits (K, ...) to a label map (1, ...), uint8.

    k + 1 marks pixels at which class k has the highest probability, and that above 0.5; all others are 0, background.
    Where classes overlap, such as findings in a radiograph, only the most probable one is kept, whereas evaluation
    scores each class separately.
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Convert one decollated item."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            highest, index = sample[key].max(dim=0, keepdim=True)
            # sigmoid(x) > 0.5 where x > 0
            sample[key] = ((index + 1) * (highest > 0)).to(torch.uint8)
        return sample
