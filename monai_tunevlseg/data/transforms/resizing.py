"""Resizing of images, masks and logits, identical in training, evaluation and inference."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor, ensure_tuple_rep

__all__ = ["ResizeImageMaskd", "resize_images", "resize_logits"]


class ResizeImageMaskd(MapTransform):
    """Resizes the image of a sample with `resize_images`, and its masks by nearest neighbors.

    `meta` stays unchanged.

    Args:
        spatial_size: size of the network's input in pixels, one number or (height, width).
        antialias: as for `resize_images`.

    Raises:
        ValueError: when a size is not positive.
    """

    def __init__(self, spatial_size: int | Sequence[int], antialias: bool) -> None:
        super().__init__(("image", "label"))
        self.spatial_size = ensure_tuple_rep(spatial_size, 2)
        if min(self.spatial_size) < 1:
            raise ValueError(f"spatial_size is {spatial_size}; it must be positive.")
        self.antialias = antialias

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resize `image`, (3, H, W) in [0, 1], and `label`, (K, H, W)."""
        sample = dict(data)
        image, label = (convert_to_tensor(sample[key], torch.float32, track_meta=False)[None] for key in self.keys)
        resized = {
            "image": resize_images(image, self.spatial_size, self.antialias),
            "label": F.interpolate(label, size=self.spatial_size, mode="nearest-exact"),
        }
        for key, tensor in resized.items():
            sample[key] = convert_to_dst_type(tensor[0], sample[key], dtype=torch.float32)[0]
        return sample


def resize_images(
    images: torch.Tensor, size: tuple[int, ...], antialias: bool, limits: tuple[float, float] | None = (0, 1)
) -> torch.Tensor:
    """Resize bicubically.

    Args:
        images: (B, 3, H, W).
        size: height and width to resize to.
        antialias: average over pixels when an image gets smaller, instead of dropping them as the paper's recipe does.
            With VPT on the demo's ultrasound images at 96 x 96, Dice was 76.3 with and 73.2 without it for images of
            123 x 141, and 77.6 against 53.9 for images eight times as large and noisy.
        limits: lowest and highest value; overshoots of the cubic kernel at edges are clipped. None = no limits.

    Returns:
        (B, 3, height, width).
    """
    if tuple(images.shape[2:]) == tuple(size):
        return images
    smaller = any(wanted < length for wanted, length in zip(size, images.shape[2:], strict=True))
    resized = F.interpolate(images, size=size, mode="bicubic", align_corners=False, antialias=antialias and smaller)
    return resized if limits is None else resized.clamp(*limits)


def resize_logits(logits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Resize logits (B, K, h, w) bilinearly to (B, K, H, W).

    Args:
        logits: logits at the size of the network's output.
        size: height and width to resize to.
    """
    if tuple(logits.shape[2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)
