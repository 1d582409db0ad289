"""The masks of a batch's pairs, at the model's resolution and at the images' own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.transforms import Transform

from monai_tunevlseg.data.sample_masks import IGNORE_INDEX
from monai_tunevlseg.data.transforms.resizing import resize_logits

__all__ = ["LogitsToPairMasks", "counted_masks"]


class LogitsToPairMasks(Transform):
    """Converts the logits and labels of a batch of image groups into masks, one per pair, for MONAI's metrics.

    Foreground is where the sigmoid of the logit is above 0.5. For the image's own resolution the logits are resized
    bilinearly, as in inference, before the threshold. Ignored pixels are background in both mask and prediction, so
    that overlap metrics do not count them. (For distances, contours in both end at an ignored region.)
    """

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Convert one batch of B images with k texts each.

        Args:
            data: `pred` (B, k, h, w), logits; `label` (B, k, h, w) in {0, 1, 255}; `full_label`, B arrays of the same
                at an image's own size (k, H, W).

        Returns:
            the same with `pred`, `label`, `pred_original` and `label_original` as lists of B * k masks, uint8 in {0, 1}
            of shape (1, h, w) or (1, H, W).
        """
        batch = dict(data)
        logits = torch.as_tensor(batch["pred"]).float().flatten(0, 1)[:, None]  # (B * k, 1, h, w)
        labels = torch.as_tensor(batch["label"]).flatten(0, 1)[:, None]
        originals = [torch.as_tensor(mask[None]) for masks in batch["full_label"] for mask in masks]
        at_model = [counted_masks(logit > 0, label) for logit, label in zip(logits, labels, strict=True)]
        at_original = [
            # one at a time, because the logits of all texts of a large picture take much memory
            counted_masks(resize_logits(logit[None], label.shape[-2:])[0] > 0, label.to(logit.device))
            for logit, label in zip(logits, originals, strict=True)
        ]
        for suffix, masks in (("", at_model), ("_original", at_original)):
            batch[f"pred{suffix}"] = [prediction for prediction, _ in masks]
            batch[f"label{suffix}"] = [label for _, label in masks]
        return batch


def counted_masks(foreground: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return prediction and mask, uint8 (1, H, W) each in {0, 1}, with ignored pixels as 0.

    Args:
        foreground: the predicted foreground, bool (1, H, W).
        label: the mask (1, H, W) in {0, 1, 255}.
    """
    counted = label != IGNORE_INDEX
    return (foreground & counted).to(torch.uint8), ((label > 0) & counted).to(torch.uint8)
