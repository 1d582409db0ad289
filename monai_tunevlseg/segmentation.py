"""What a network says of texts in images: their masks, and whether the images show them at all."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["BACKGROUND_LOGIT", "Segmentation"]

BACKGROUND_LOGIT = -200.0  # its sigmoid is 0 in float32


class Segmentation(NamedTuple):
    """Masks and presence of B images with k texts each.

    Attributes:
        logits: (B, k, H, W), a mask for each text.
        presence: (B, k), a logit for each text; its sigmoid is the probability that the image shows it.
        evidence: (B, k, D), features to which the calibration of presence fits a linear function; the first one is
            ``presence``, and the only one (D = 1) of networks that have no other. None where it is not kept.
    """

    logits: Tensor
    presence: Tensor
    evidence: Tensor | None = None

    def silenced(self, threshold: float) -> Tensor:
        """Return the logits, with those of background where the presence of a text is less probable than a threshold.

        Args:
            threshold: probability, 0..1.
        """
        absent = self.presence.sigmoid() < threshold
        return self.logits.masked_fill(absent[:, :, None, None], BACKGROUND_LOGIT)
