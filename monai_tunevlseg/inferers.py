"""Inference on pictures of any size, and on volumes slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import Inferer, SliceInferer
from monai.utils import ensure_tuple_rep

__all__ = ["ResizedInferer"]

Network = Callable[..., torch.Tensor]


class ResizedInferer(Inferer):
    """Runs a 2-D network at its own input size and returns logits at the input's size.

    Pictures are resized bicubically, as in training, and logits bilinearly. A volume is cut into slices, each treated
    as a picture, by MONAI's ``SliceInferer``.

    Args:
        image_size: of the network's input in pixels, one number or (height, width).
        slice_axis: spatial axis of a volume along which it is cut: 0, 1 or 2.
        sw_batch_size: slices in one call of the network, 1 or more.

    Raises:
        ValueError: when an argument is outside its range.
    """

    def __init__(self, image_size: int | Sequence[int], slice_axis: int = 2, sw_batch_size: int = 4) -> None:
        super().__init__()
        self.image_size = ensure_tuple_rep(image_size, 2)
        if min(self.image_size) < 1:
            raise ValueError(f"image_size is {image_size}; it must be positive.")
        if slice_axis not in (0, 1, 2):
            raise ValueError(f"slice_axis is {slice_axis}; a volume has the axes 0, 1 and 2.")
        if sw_batch_size < 1:
            raise ValueError(f"sw_batch_size is {sw_batch_size}; it must be 1 or more.")
        self.slice_axis = slice_axis
        self.sw_batch_size = sw_batch_size

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return logits of the spatial size of the input.

        Args:
            inputs: (B, 3, H, W), or (B, 3, X, Y, Z) for volumes.
            network: takes (N, 3, h, w), the further arguments, and returns (N, K, h, w).
            args: passed on to the network.
            kwargs: passed on to the network; ``text``, one entry per picture or volume, is repeated for its slices.

        Raises:
            ValueError: when the input has another number of dimensions.
        """
        if isinstance(inputs, MetaTensor):
            inputs = inputs.as_tensor()  # each operation of the network would carry the metadata along
        if inputs.ndim == 4:
            return self._picture(inputs, network, *args, **kwargs)
        if inputs.ndim != 5:
            raise ValueError(
                f"an input of shape {tuple(inputs.shape)} is neither a batch of pictures (B, 3, H, W) "
                "nor of volumes (B, 3, X, Y, Z)."
            )
        text = kwargs.pop("text", None)
        volumes = [
            self._volume(inputs[index : index + 1], network, None if text is None else text[index], *args, **kwargs)
            for index in range(len(inputs))
        ]
        return torch.cat(volumes)

    def _picture(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (B, K, H, W) logits for (B, 3, H, W)."""
        size = tuple(inputs.shape[2:])
        if size == self.image_size:
            return network(inputs, *args, **kwargs)
        resized = F.interpolate(inputs, size=self.image_size, mode="bicubic", align_corners=False)
        logits = network(resized, *args, **kwargs)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def _volume(self, volume: torch.Tensor, network: Network, text: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (1, K, X, Y, Z) logits for (1, 3, X, Y, Z); ``text`` is that of the volume, or None."""

        def slices(pictures: torch.Tensor) -> torch.Tensor:
            texts = {} if text is None else {"text": [text] * len(pictures)}
            return self._picture(pictures, network, *args, **texts, **kwargs)

        roi = [length for axis, length in enumerate(volume.shape[2:]) if axis != self.slice_axis]
        slicer = SliceInferer(spatial_dim=self.slice_axis, roi_size=roi, sw_batch_size=self.sw_batch_size)
        logits = slicer(volume, slices)
        if not isinstance(logits, torch.Tensor):
            raise TypeError(f"the network returned {type(logits).__name__} for a volume; one tensor is needed.")
        return logits
