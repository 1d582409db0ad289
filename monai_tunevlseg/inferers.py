"""Inference on pictures of any size, and on volumes slice by slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import ensure_tuple_rep

from monai_tunevlseg.data.io.orientation import array_axis
from monai_tunevlseg.data.transforms.resizing import resize_images, resize_logits

__all__ = ["Reduction", "ResizedInferer", "entropy_map", "label_map"]

Network = Callable[..., torch.Tensor]
Reduction = Callable[[Iterable[torch.Tensor]], torch.Tensor]
"""Reduces the logits of the classes, (B, 1, H, W) each and one class at a time, to one (B, C, H, W) tensor."""


def label_map(logits: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the label map of :class:`~monai_tunevlseg.data.LogitsToLabelMapd` with two classes in memory at a time.

    Returns:
        (B, 1, H, W) uint8: k + 1 where class k has the highest probability and it is above 0.5, else 0.
    """
    highest = labels = torch.zeros(())
    for value, found in enumerate(logits, start=1):
        if value == 1:
            highest, labels = torch.zeros_like(found), torch.zeros_like(found, dtype=torch.uint8)
        labels.masked_fill_(found > highest, value)  # sigmoid(x) > 0.5 where x > 0
        torch.maximum(highest, found, out=highest)
    return labels


def entropy_map(logits: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the predictive entropy of each pixel in bits, as the mean over the classes.

    Returns:
        (B, 1, H, W) float32 in [0, 1]: 0 is certain, 1 is a guess.
    """
    total, count = torch.zeros(()), 0
    for found in logits:
        # from logits, because probabilities of 0 would give 0 * log(0)
        nats = F.binary_cross_entropy_with_logits(found, found.sigmoid(), reduction="none")
        total, count = total + nats.float(), count + 1
    return total / (count * math.log(2))


class ResizedInferer(Inferer):
    """Runs a 2-D network at its own input size and returns logits, or their reduction, at the size of the input.

    Pictures are resized and normalized as in training, and logits are resized bilinearly. A volume, upright as
    ``LoadImageMaskd`` loads it, is cut into slices, each treated as a picture. With a reduction, memory does not grow
    with the number of classes, because their logits are resized one after the other.

    Args:
        image_size: size of the network's input in pixels, one number or (height, width).
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of volumes.
        sw_batch_size: slices in one call of the network, 1 or more; divided by the number of texts of a volume.
        reduction: reduction of the logits, such as ``label_map``; None = the logits of all classes.
        antialias: as for :func:`~monai_tunevlseg.data.transforms.resizing.resize_images`.
        mean: mean of the training images per channel, to normalize an input in [0, 1]. None = the input is normalized
            already, and its resized values are not clamped.
        std: standard deviation of the training images per channel; None as ``mean``.

    Raises:
        ValueError: when an argument is outside its range.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        slice_axis: int = 2,
        sw_batch_size: int = 4,
        reduction: Reduction | None = None,
        antialias: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.image_size = ensure_tuple_rep(image_size, 2)
        if min(self.image_size) < 1:
            raise ValueError(f"image_size is {image_size}; it must be positive.")
        if slice_axis not in (0, 1, 2):
            raise ValueError(f"slice_axis is {slice_axis}; it must be 0, 1 or 2: sagittal, coronal or axial.")
        if sw_batch_size < 1:
            raise ValueError(f"sw_batch_size is {sw_batch_size}; it must be 1 or more.")
        if (mean is None) != (std is None):
            raise ValueError(f"mean is {mean} and std {std}; give both or none.")
        self.antialias = antialias
        self.mean, self.std = mean, std
        self.slice_axis = slice_axis
        self.sw_batch_size = sw_batch_size
        self.reduction = reduction

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return logits, or their reduction, at the spatial size of the input.

        Args:
            inputs: (B, 3, H, W), or (B, 3, S, A, R) for volumes.
            network: network from (N, 3, h, w) and the further arguments to (N, K, h, w).
            args: further arguments of the network.
            kwargs: further arguments of the network; ``text`` has one entry per picture or volume, which is repeated
                for the slices of a volume.

        Raises:
            ValueError: when the input does not have 4 or 5 dimensions.
        """
        if isinstance(inputs, MetaTensor):
            inputs = inputs.as_tensor()  # metadata would slow down each operation of the network
        if inputs.ndim == 4:
            return self._picture(inputs, network, *args, **kwargs)
        if inputs.ndim != 5:
            raise ValueError(
                f"an input of shape {tuple(inputs.shape)} is neither a batch of pictures (B, 3, H, W) "
                "nor of volumes (B, 3, S, A, R)."
            )
        text = kwargs.pop("text", None)
        volumes = [
            self._volume(inputs[index : index + 1], network, None if text is None else text[index], *args, **kwargs)
            for index in range(len(inputs))
        ]
        return torch.cat(volumes)

    def _picture(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (B, K, H, W) logits for (B, 3, H, W), or their reduction."""
        size = tuple(inputs.shape[2:])
        logits = network(self._prepared(inputs), *args, **kwargs)
        if self.reduction is None:
            return resize_logits(logits, size)
        return self.reduction(resize_logits(of_class, size) for of_class in logits.split(1, dim=1))

    def _prepared(self, inputs: torch.Tensor) -> torch.Tensor:
        """Resize and normalize (B, 3, H, W)."""
        if self.mean is None or self.std is None:
            return resize_images(inputs, self.image_size, self.antialias, limits=None)
        mean, std = (inputs.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (resize_images(inputs, self.image_size, self.antialias) - mean) / std

    def _volume(self, volume: torch.Tensor, network: Network, text: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (1, K, S, A, R) logits for (1, 3, S, A, R), or their reduction; ``text`` is the volume's text."""

        def results(pictures: torch.Tensor) -> torch.Tensor:
            texts = {} if text is None else {"text": [text] * len(pictures)}
            return self._picture(pictures, network, *args, **texts, **kwargs)

        cut = array_axis(self.slice_axis) + 1
        slices = volume[0].movedim(cut, 0)
        texts_each = len(text) if isinstance(text, Sequence) and not isinstance(text, str) else 1
        at_once = max(1, self.sw_batch_size // max(1, texts_each))
        pieces = torch.cat([results(part) for part in slices.split(at_once)])
        return pieces.movedim(0, cut)[None]
