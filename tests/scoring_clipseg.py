"""A network that scores presence, in place of VLSMs with larger base models."""

from __future__ import annotations

from monai_tunevlseg.networks import PromptTunedCLIPSeg


class ScoringCLIPSeg(PromptTunedCLIPSeg):
    """CLIPSeg with a tenth of the highest logit of a mask as the presence of its text."""

    no_presence = None

    def decode_with_presence(self, image_features, text_features):
        """Decode, and score each mask."""
        logits = self.decode(image_features, text_features)
        return logits, logits.amax(dim=(2, 3)) / 10
