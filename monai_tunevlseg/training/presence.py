"""Presence in training: its truth, and validation with it.

MONAI's decollating takes the predictions of networks apart, which is undone here.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from monai_tunevlseg.data import IGNORE_INDEX
from monai_tunevlseg.segmentation import Segmentation

__all__ = ["SilenceAbsentd", "predictions_and_targets", "presence_truth"]


class SilenceAbsentd(MapTransform):
    """Converts the decollated ``Segmentation`` of an image into logits, with those of background for absent texts.

    Logits without presence stay unchanged.

    Args:
        keys: keys of the predictions.
        presence_threshold: texts are absent if their presence is less probable than this, 0..1.
    """

    def __init__(self, keys: KeysCollection, presence_threshold: float = 0.5) -> None:
        super().__init__(keys)
        self.presence_threshold = presence_threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert the predictions of one image to (k, H, W)."""
        item = dict(data)
        for key in self.key_iterator(item):
            found = _batch([item[key]])
            item[key] = found.silenced(self.presence_threshold)[0] if isinstance(found, Segmentation) else found[0]
        return item


def predictions_and_targets(items: Sequence[Mapping[str, Any]]) -> tuple[Tensor | Segmentation, Tensor]:
    """Return the batch of ``logits`` and ``target`` of an evaluator's decollated output, as the loss takes them."""
    return _batch([item["logits"] for item in items]), torch.stack([item["target"] for item in items])


def presence_truth(label: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether images show texts, and whether this is known, each (B, K) bool.

    It is not known of a label without foreground but with ignored pixels, because these may show the text.

    Args:
        label: (B, K, H, W), as for the loss.
    """
    pixels = label.as_tensor() if isinstance(label, MetaTensor) else label
    ignored = pixels == IGNORE_INDEX
    shown = ((pixels > 0) & ~ignored).flatten(2).any(dim=2)
    return shown, shown | ~ignored.flatten(2).any(dim=2)


def _batch(predictions: Sequence[Tensor | Sequence[Tensor]]) -> Tensor | Segmentation:
    """Undo MONAI's decollating, which turns a batch's ``Segmentation`` into a list per image; evidence is left out."""
    if isinstance(predictions[0], Tensor):
        return torch.stack(list(predictions))  # type: ignore[arg-type]
    logits, presence, *_ = zip(*predictions, strict=True)
    return Segmentation(torch.stack(logits), torch.stack(presence))
