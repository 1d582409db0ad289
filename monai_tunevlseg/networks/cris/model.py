"""The published CRIS, without prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from monai_tunevlseg.networks.cris.config import CRISConfig
from monai_tunevlseg.networks.cris.decoder import Decoder, Neck, Projector
from monai_tunevlseg.networks.cris.encoders import CLIPBackbone, eos_positions

__all__ = ["CRIS", "padding_mask"]


class CRIS(nn.Module):
    """CRIS (Wang et al., *CRIS: CLIP-Driven Referring Image Segmentation*, 2022); state_dict() is the release's.

    Args:
        config: sizes of the model; None for those of the release.
    """

    def __init__(self, config: CRISConfig | None = None) -> None:
        super().__init__()
        self.config = config or CRISConfig()
        self.backbone = CLIPBackbone(self.config)
        self.neck = Neck(self.config)
        self.decoder = Decoder(self.config)
        self.proj = Projector(self.config)

    def forward(self, image: Tensor, token_ids: Tensor) -> Tensor:
        """Segment each image by its own text.

        Args:
            image: (B, 3, H, W), normalized with CLIP's mean and standard deviation; H and W are multiples of 32.
            token_ids: (B, N), each row SOS, words, EOS and padding.

        Returns:
            logits (B, 1, H, W).
        """
        words, state = self.backbone.encode_text(token_ids)
        padding = padding_mask(eos_positions(token_ids), token_ids.shape[1])
        levels = self.neck.project(self.backbone.visual(image))
        return self.decode(levels, words[:, None], padding[:, None], state[:, None])[1]

    def decode(self, levels: Sequence[Tensor], words: Tensor, padding: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Decode B images for k texts each.

        Args:
            levels: the images' maps, projected by the neck.
            words: (B, k, L, text_width), the texts' tokens.
            padding: (B, k, L) bool, True for ignored tokens.
            state: (B, k, embed_dim), the texts' states.

        Returns:
            the decoder's features (B * k, text_width, H / 16, W / 16), and logits (B * k, 1, H, W), upsampled from a
            quarter of the size as in the release.
        """
        features = self.decoder(self.neck(levels, state), words.flatten(0, 1), padding.flatten(0, 1))
        logits = self.proj(features, state.flatten(0, 1))
        return features, functional.interpolate(logits, scale_factor=4, mode="bicubic", align_corners=True)


def padding_mask(end: Tensor, length: int) -> Tensor:
    """Return the mask (S, length) of the positions after ``end`` (S,); bool."""
    return torch.arange(length, device=end.device) > end.unsqueeze(1)
