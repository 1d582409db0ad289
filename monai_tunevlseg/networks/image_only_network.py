"""The base class of networks that read no text and are trained from scratch: one output channel for each class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from monai_tunevlseg.networks.identity import require_equal, require_equal_entries
from monai_tunevlseg.networks.image_size_check import check_image_size
from monai_tunevlseg.networks.precision import cast_frozen
from monai_tunevlseg.networks.segmentation_network import SegmentationNetwork
from monai_tunevlseg.networks.texts import validate_texts

__all__ = ["ImageOnlyNetwork"]


class ImageOnlyNetwork(SegmentationNetwork):
    """A network from images to one channel of logits for each class name; a text chooses the channel of its class.

    Nothing in it is pretrained: all weights are drawn when it is built, all train, and checkpoints hold all of them.
    Subclasses build the model from arguments of their own, each with a default and a type annotation, from which the
    bundles' hyperparameters follow.

    Args:
        class_names: K texts, one for each channel.
        method: must be None, because methods tune the base model of a VLSM.
        upsampler: must be False, because the upsampler belongs to the decoder of a VLSM.
        unfreeze: must be "all", because nothing is frozen.

    Attributes:
        model: the model, (B, 3, H, W) -> (B, K, H, W).
        divisor: number of pixels; the sides of an image must be multiples of it.

    Raises:
        ValueError: when a class name is missing, empty or given twice, or an option for a base model is set.
    """

    model: nn.Module
    divisor: int

    def __init__(
        self,
        class_names: Sequence[str],
        method: str | None = None,
        upsampler: bool = False,
        unfreeze: str | None = "all",
    ) -> None:
        super().__init__()
        self._check_options(method, upsampler, unfreeze)
        self.class_names = validate_texts(class_names, "class_names")
        if twice := [name for name in self.class_names if self.class_names.count(name) > 1]:
            raise ValueError(f"the class name {twice[0]!r} is given twice; each channel needs a name of its own.")
        self.register_load_state_dict_pre_hook(_check_identity_first)

    @property
    def example_image_size(self) -> int:
        """Side of the smallest square images that the network takes, in pixels."""
        return 2 * self.divisor

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the arguments that affect the model's weights or their use, as values for JSON."""

    def segment(self, image: Tensor, texts: list[str], index: Tensor) -> Tensor:
        """Return the channels of the texts.

        Raises:
            ValueError: when a text is not a class name, or the size of the image does not fit the model.
        """
        channels = torch.tensor([self._channel(text) for text in texts], device=image.device)[index]  # (B, k)
        image = check_image_size(image, self.divisor, type(self).__name__)
        if not torch.jit.is_tracing() and image[0, 0].numel() == self.divisor**2:
            raise ValueError(
                f"image size {image.shape[2]}x{image.shape[3]} leaves one pixel at the lowest resolution, too few for "
                f"the norms of {type(self).__name__}; resize it to {2 * self.divisor} pixels or more."
            )
        logits = self.model(image)  # (B, K, H, W)
        return logits.float().gather(1, channels[:, :, None, None].expand(-1, -1, *logits.shape[2:]))

    def compute_in(self, precision: str) -> Self:
        """Return this network, whose parameters stay in float32 in every precision, because all of them train.

        Raises:
            ValueError: when ``precision`` is unknown.
        """
        self.model = cast_frozen(self.model, precision)
        return self

    def identity(self) -> dict[str, Any]:
        """Return the model's settings and the class names; the other entries are those of a network of every kind."""
        options: dict[str, Any] = {"method": None, "method_kwargs": {}, "upsampler": False, "unfreeze": "all"}
        return {**options, "settings": self.settings(), "class_names": self.class_names}

    def check_identity(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        """Refuse other settings, and other class names or another order of them, because channels belong to classes."""
        require_equal_entries("settings", ours["settings"], theirs, ours)
        require_equal("class_names", theirs, ours)

    def _channel(self, text: str) -> int:
        if text not in self.class_names:
            raise ValueError(
                f"{text!r:.100} is not one of the class names {', '.join(self.class_names)}, and {type(self).__name__} "
                "reads no text; pass a class name, or use a bundle of a VLSM."
            )
        return self.class_names.index(text)

    def _check_options(self, method: str | None, upsampler: bool, unfreeze: str | None) -> None:
        name = type(self).__name__
        if method is not None:
            raise ValueError(
                f"the method {method!r} tunes the base model of a VLSM, but {name} is trained from scratch and reads "
                "no text; set method to null, or use a bundle of a VLSM."
            )
        if upsampler:
            raise ValueError(f"upsampler is true, but {name} has no frozen decoder to add it to; set it to false.")
        if unfreeze != "all":
            raise ValueError(
                f"unfreeze is {unfreeze!r}, but {name} has no base model that could stay frozen or segment zero-shot; "
                "set it to all."
            )


def _check_identity_first(network: ImageOnlyNetwork, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Name the difference between two networks before torch lists keys and shapes."""
    if (identity := state.get(f"{prefix}_extra_state")) is not None:
        network.set_extra_state(identity)
