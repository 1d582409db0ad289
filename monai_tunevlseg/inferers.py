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
from monai_tunevlseg.data.transforms.resizing import resize_images

__all__ = ["Reduction", "ResizedInferer", "entropy_map", "label_map"]

Network = Callable[..., torch.Tensor]
Reduction = Callable[[Iterable[torch.Tensor]], torch.Tensor]
"""Makes one (B, C, H, W) tensor of the (B, 1, H, W) logits of the classes, which come one after the other."""


def label_map(logits: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the label map of :class:`~monai_tunevlseg.data.LogitsToLabelMapd` with two classes in memory at a time.

    Args:
        logits: (B, 1, H, W) of each class.

    Returns:
        (B, 1, H, W) uint8: k + 1 where class k has the highest probability and that is above 0.5, else 0.
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

    Args:
        logits: (B, 1, H, W) of each class.

    Returns:
        (B, 1, H, W) float32: 0 is certain, 1 a guess.
    """
    total, count = torch.zeros(()), 0
    for found in logits:
        # from logits, so that certain pixels give 0 and not 0 * log(0)
        nats = F.binary_cross_entropy_with_logits(found, found.sigmoid(), reduction="none")
        total, count = total + nats.float(), count + 1
    return total / (count * math.log(2))


class ResizedInferer(Inferer):
    """Runs a 2-D network at its own input size and returns logits, or what a reduction makes of them, at the input's.

    Pictures are resized and normalized as in training, and logits are resized bilinearly. A volume, upright as
    ``LoadImageMaskd`` loads it, is cut into slices, each treated as a picture. With a reduction, memory does not grow
    with the number of classes: their logits are brought to the input's size one after the other.

    Args:
        image_size: of the network's input in pixels, one number or (height, width).
        slice_axis: how a volume is cut: into sagittal (0), coronal (1) or axial (2) slices.
        sw_batch_size: slices in one call of the network, 1 or more; fewer where a volume has several texts, whose
            logits are as many.
        reduction: what is returned instead of logits, such as ``label_map``; None = the logits of all classes.
        antialias: as for :func:`~monai_tunevlseg.data.transforms.resizing.resize_images`.
        mean: of the images that the network was trained with, per channel; the input is in [0, 1] then. None = the
            input is normalized already, and resized without a limit to its values.
        std: the same images' standard deviation; None as ``mean``.

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
        """Return logits, or what the reduction makes of them, of the spatial size of the input.

        Args:
            inputs: (B, 3, H, W), or (B, 3, S, A, R) for volumes.
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
            return _resized(logits, size)
        return self.reduction(_resized(of_class, size) for of_class in logits.split(1, dim=1))

    def _prepared(self, inputs: torch.Tensor) -> torch.Tensor:
        """Resize and normalize (B, 3, H, W)."""
        if self.mean is None or self.std is None:
            return resize_images(inputs, self.image_size, self.antialias, limits=None)
        mean, std = (inputs.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (resize_images(inputs, self.image_size, self.antialias) - mean) / std

    def _volume(self, volume: torch.Tensor, network: Network, text: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (1, K, S, A, R) logits for (1, 3, S, A, R), or their reduction; ``text`` is that of the volume."""

        def results(pictures: torch.Tensor) -> torch.Tensor:
            texts = {} if text is None else {"text": [text] * len(pictures)}
            return self._picture(pictures, network, *args, **texts, **kwargs)

        cut = array_axis(self.slice_axis) + 1
        slices = volume[0].movedim(cut, 0)
        texts_each = len(text) if isinstance(text, Sequence) and not isinstance(text, str) else 1
        at_once = max(1, self.sw_batch_size // max(1, texts_each))
        pieces = torch.cat([results(part) for part in slices.split(at_once)])
        return pieces.movedim(0, cut)[None]


def _resized(logits: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    if logits.shape[2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
