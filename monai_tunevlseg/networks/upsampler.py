"""The learnable residual block after a frozen decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Upsampler"]

KERNEL = 5


class Upsampler(nn.Module):
    """Bilinear upsampling and a 5x5 convolution, mixed into the decoder's logits (TuneVLSeg, section 5).

    ``logits = (1 - r) * decoder + r * upsampler`` with a learnable r that starts at 0.5.

    Both steps are linear and run in reverse order, on small maps; see :meth:`upsample`.

    Args:
        in_channels: channels of the decoder's penultimate features.
        reduced_channels: output channels of a 1x1 convolution that first reduces the features; None for no reduction.
    """

    def __init__(self, in_channels: int, reduced_channels: int | None = None) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, reduced_channels, 1) if reduced_channels else nn.Identity()
        self.convolution = nn.Conv2d(
            reduced_channels or in_channels, 1, KERNEL, padding=KERNEL // 2, padding_mode="replicate"
        )
        self.residual_factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Mix the upsampled features into the logits, in the precision of this block's weights.

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
        """Upsample bilinearly and convolve, up to rounding, in a fraction of the time.

        Each of the kernel's 25 positions first sums the channels at low resolution. Upsampling these 25 maps, shifting
        each by its position and adding them is one matrix product for the rows and one for the columns.

        Args:
            features: (N, C, h, w).
            size: (H, W).

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
    """Return the matrix (upsampled, 5 * length) of linear interpolation at the five positions of a kernel.

    Positions beyond the border take the value at the border, as in replicate padding.
    """
    identity = torch.eye(length, device=like.device, dtype=like.dtype).unsqueeze(0)
    matrix = functional.interpolate(identity, size=upsampled, mode="linear", align_corners=False)[0].t()
    reach = KERNEL // 2
    shifts = torch.arange(-reach, reach + 1, device=like.device)
    seen = (torch.arange(upsampled, device=like.device).unsqueeze(1) + shifts).clamp(0, upsampled - 1)
    return matrix[seen].flatten(1)  # (upsampled, 5, length) before
