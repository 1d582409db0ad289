"""The learnable residual block behind a frozen decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Upsampler"]


class Upsampler(nn.Module):
    """Bilinear upsampling and a 5x5 convolution, mixed into the decoder's logits (TuneVLSeg, section 5).

    ``logits = (1 - r) * decoder + r * upsampler`` with a learnable r that starts at 0.5.

    Args:
        in_channels: channels of the decoder's penultimate features.
        reduced_channels: where given, a 1x1 convolution first reduces the features to so many channels.
    """

    def __init__(self, in_channels: int, reduced_channels: int | None = None) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, reduced_channels, 1) if reduced_channels else nn.Identity()
        self.convolution = nn.Conv2d(reduced_channels or in_channels, 1, 5, padding=2, padding_mode="replicate")
        self.residual_factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Mix the upsampled features into the logits.

        Args:
            features: (N, in_channels, h, w), the decoder's penultimate features.
            logits: (N, 1, H, W), the decoder's output.

        Returns:
            (N, 1, H, W).
        """
        size = logits.shape[-2:]
        upsampled = functional.interpolate(self.reduce(features), size=size, mode="bilinear", align_corners=False)
        return (1 - self.residual_factor) * logits + self.residual_factor * self.convolution(upsampled)
