"""From logits to a label map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.transforms import MapTransform

__all__ = ["LogitsToLabelMapd"]


class LogitsToLabelMapd(MapTransform):
    """Turns logits (K, ...) into a label map (1, ...) of uint8.

    0 is background; k + 1 is where class k has the highest probability and that is above 0.5: where classes overlap,
    such as findings of a radiograph, only the most probable one is kept, while evaluation scores each class alone.
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Convert one decollated item."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            highest, index = sample[key].max(dim=0, keepdim=True)
            # sigmoid(x) > 0.5 where x > 0
            sample[key] = ((index + 1) * (highest > 0)).to(torch.uint8)
        return sample
