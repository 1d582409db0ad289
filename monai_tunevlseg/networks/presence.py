"""Presence of texts in images, as masks tell it."""

from __future__ import annotations

from torch import Tensor

__all__ = ["pooled_logit"]


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
