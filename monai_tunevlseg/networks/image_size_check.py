"""The check of an image's sides that a traced network keeps."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_image_size"]


def check_image_size(image: Tensor, divisor: int, network: str) -> Tensor:
    """Return an image whose sides are multiples of a network's step; TorchScript's trace makes the same check.

    Args:
        image: (B, 3, H, W).
        divisor: number of pixels.
        network: its name, for the message.

    Raises:
        ValueError: when a side is not a multiple; names the size. From a traced network a ``torch.jit.Error``.
    """
    if torch.onnx.is_in_onnx_export():  # ONNX files have a fixed size, and no operator that raises
        return image
    return _checked(image, divisor, network)


@torch.jit.script_if_tracing
def _checked(image: Tensor, divisor: int, network: str) -> Tensor:
    height, width = image.size(2), image.size(3)
    if height % divisor != 0 or width % divisor != 0:
        raise ValueError(f"image size {height}x{width} is not a multiple of {network}'s {divisor} pixels; resize it.")
    return image
