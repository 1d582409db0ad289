"""The learnable residual block behind a frozen decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Upsampler"]

KERNEL = 5


class Upsampler(nn.Module):
    """Bilinear upsampling and a 5x5 convolution, mixed into the decoder's logits (TuneVLSeg, section 5).

    ``logits = (1 - r) * decoder + r * upsampler`` with a learnable r that starts at 0.5.

    Both steps are linear, so they are done the other way round, where the maps are small: see :meth:`upsample`.

    Args:
        in_channels: channels of the decoder's penultimate features.
        reduced_channels: where given, a 1x1 convolution first reduces the features to so many channels.
    """

    def __init__(self, in_channels: int, reduced_channels: int | None = None) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, reduced_channels, 1) if reduced_channels else nn.Identity()
        self.convolution = nn.Conv2d(
            reduced_channels or in_channels, 1, KERNEL, padding=KERNEL // 2, padding_mode="replicate"
        )
        self.residual_factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Mix the upsampled features into the logits, in the precision of this block's own weights.

        Args:
            features: (N, in_channels, h, w), the decoder's penultimate features.
            logits: (N, 1, H, W), the decoder's output.

        Returns:
            (N, 1, H, W).
        """
        dtype = self.residual_factor.dtype
        with torch.autocast(features.device.type, enabled=False):
            upsampled = self.upsample(self.reduce(features.to(dtype)), logits.shape[-2:])
            return torch.lerp(logits.to(dtype), upsampled, self.residual_factor)

    def upsample(self, features: Tensor, size: torch.Size) -> Tensor:
        """Upsample bilinearly and convolve, to the rounding the same as in this order, in a fraction of the time.

        Each of the 25 places of the kernel sums up the channels on its own, at low resolution. Upsampling these 25
        maps, shifting each by its place and adding them up is one matrix product for the rows and one for the columns.

        Args:
            features: (N, C, h, w).
            size: H and W.

        Returns:
            (N, 1, H, W).
        """
        weight = self.convolution.weight[0].flatten(1).t()  # (25, C)
        places = functional.conv2d(features, weight[:, :, None, None])  # (N, 25, h, w)
        places = places.unflatten(1, (KERNEL, KERNEL)).transpose(2, 3)  # (N, 5, h, 5, w)
        height, width = features.shape[-2:]
        rows = _shifted_interpolation(height, size[0], features)  # (H, 5 * h)
        columns = _shifted_interpolation(width, size[1], features)  # (W, 5 * w)
        upsampled = rows @ places.reshape(-1, KERNEL * height, KERNEL * width) @ columns.t()
        return (upsampled + self.convolution.bias).unsqueeze(1)


def _shifted_interpolation(length: int, upsampled: int, like: Tensor) -> Tensor:
    """Return the matrix (upsampled, 5 * length) of linear interpolation seen from the five places of a kernel.

    A place beyond the border sees the border: the convolution's replicate padding.
    """
    identity = torch.eye(length, device=like.device, dtype=like.dtype).unsqueeze(0)
    matrix = functional.interpolate(identity, size=upsampled, mode="linear", align_corners=False)[0].t()
    reach = KERNEL // 2
    shifts = torch.arange(-reach, reach + 1, device=like.device)
    seen = (torch.arange(upsampled, device=like.device).unsqueeze(1) + shifts).clamp(0, upsampled - 1)
    return matrix[seen].flatten(1)  # (upsampled, 5, length) before
