"""Check of the image size that a traced network keeps."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_image_size"]


def check_image_size(image: Tensor, divisor: int, network: str) -> Tensor:
    """Return an image unchanged if its sides are multiples of a divisor.

    A traced network makes the same check if it uses the returned image.

    Args:
        image: (B, 3, H, W).
        divisor: number of pixels.
        network: name of the network, for the message.

    Raises:
        ValueError: when a side is not a multiple; names the size. A traced network raises ``torch.jit.Error``.
    """
    if torch.onnx.is_in_onnx_export():  # ONNX models have a fixed size, and ONNX has no operator that raises
        return image
    return _checked(image, divisor, network)


@torch.jit.script_if_tracing
def _checked(image: Tensor, divisor: int, network: str) -> Tensor:
    height, width = image.size(2), image.size(3)
    if height % divisor != 0 or width % divisor != 0:
        raise ValueError(f"image size {height}x{width} is not a multiple of {network}'s {divisor} pixels; resize it.")
    return image
