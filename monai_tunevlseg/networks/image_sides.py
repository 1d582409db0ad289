"""The check of an image's sides that a traced network keeps."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["checked_sides"]


def checked_sides(image: Tensor, step: int, network: str) -> Tensor:
    """Return an image whose sides are multiples of a network's step; TorchScript's trace makes the same check.

    Args:
        image: (B, 3, H, W).
        step: number of pixels.
        network: its name, for the message.

    Raises:
        ValueError: when a side is not a multiple; names the size. From a traced network a ``torch.jit.Error``.
    """
    if torch.onnx.is_in_onnx_export():  # ONNX files have a fixed size, and no operator that raises
        return image
    return _checked(image, step, network)


@torch.jit.script_if_tracing
def _checked(image: Tensor, step: int, network: str) -> Tensor:
    height, width = image.size(2), image.size(3)
    if height % step != 0 or width % step != 0:
        raise ValueError(f"image size {height}x{width} is not a multiple of {network}'s {step} pixels; resize it.")
    return image
