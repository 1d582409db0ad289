"""What a network says of texts in images: their masks, and whether the images show them at all."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Segmentation"]


class Segmentation(NamedTuple):
    """Masks and presence of B images with k texts each.

    Attributes:
        logits: (B, k, H, W), a mask for each text.
        presence: (B, k), a logit for each text; its sigmoid is the probability that the image shows it.
    """

    logits: Tensor
    presence: Tensor
