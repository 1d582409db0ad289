"""Presence of texts in images, as masks tell it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["pooled_logit", "presence_evidence"]


def pooled_logit(logits: Tensor, share: float = 0.001) -> Tensor:
    """Return the mean of the highest logits of each mask, which says whether an image shows the mask's text at all.

    The highest logit alone is decided by the noise of one pixel, which would also get all the gradient, and the mean of
    a large share is lowered by the background around a small object.

    Args:
        logits: (B, k, H, W), any floating type.
        share: share of the pixels, above 0 and up to 1; at least one pixel counts.

    Returns:
        (B, k) float32.
    """
    pixels = logits.flatten(2)
    highest = pixels.topk(max(1, round(share * pixels.shape[2])), dim=2, sorted=False).values
    return highest.float().mean(dim=2)


def presence_evidence(logits: Tensor, features: Tensor) -> Tensor:
    """Return what a decoder's features and masks tell of the presence of texts, 1 + 2 C numbers for each.

    Mean features alone hardly change with a small object, and those where the mask is alone know nothing of the rest.

    Args:
        logits: (B, k, H, W), any floating type.
        features: (B * k, C, h, w), from which the decoder computes the logits.

    Returns:
        (B, k, 1 + 2 C) float32: the pooled logit, the mean of the features weighted by a softmax of the logits over the
        pixels, and their plain mean.
    """
    height, width = features.shape[-2:]
    weights = functional.adaptive_avg_pool2d(logits.float(), (height, width)).flatten(2).softmax(dim=2)
    channels = features.float().flatten(2).unflatten(0, logits.shape[:2])  # (B, k, C, h * w)
    weighted = (channels * weights.unsqueeze(2)).sum(dim=3)
    return torch.cat([pooled_logit(logits).unsqueeze(2), weighted, channels.mean(dim=3)], dim=2)
