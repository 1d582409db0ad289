"""U-Nets of MONAI, trained from scratch: the baseline that reads no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from monai.networks.nets import AttentionUnet, DynUNet, FlexibleUNet
from torch import nn

from monai_tunevlseg.networks.image_only_network import ImageOnlyNetwork

__all__ = ["UNet"]

Architecture = Literal["flexible", "attention", "dynunet"]
# MONAI's resnet18 and resnet34 are left out, because their shortcuts pass no gradient and fix the batch size of a trace
Backbone = Literal[
    "efficientnet-b0",
    "efficientnet-b1",
    "efficientnet-b2",
    "efficientnet-b3",
    "efficientnet-b4",
    "resnet10",
    "resnet50",
    "resnet101",
]
FLEXIBLE_LEVELS = 5  # resolutions of FlexibleUNet's encoders below that of the image


class UNet(ImageOnlyNetwork):
    """A U-Net of MONAI in one of three architectures.

    - ``flexible``: FlexibleUNet, with an EfficientNet or a ResNet as encoder.
    - ``attention``: AttentionUnet (Oktay et al., *Attention U-Net: Learning Where to Look for the Pancreas*, 2018).
    - ``dynunet``: DynUNet, the architecture of nnU-Net (Isensee et al., Nature Methods 2021), without deep supervision.

    The sides of images are multiples of 32 for ``flexible``, and of 16 for the others with five levels.
    See :class:`~monai_tunevlseg.networks.ImageOnlyNetwork` for the other arguments and errors.

    Args:
        architecture: one of the three above.
        backbone: encoder of ``flexible``; the other architectures ignore it.
        channels: number of channels of each level, finest first: of the five levels of the decoder of ``flexible``, or
            of at least three levels of encoder and decoder of the others.

    Raises:
        ValueError: when architecture, backbone or channels are invalid.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        method: str | None = None,
        upsampler: bool = False,
        unfreeze: str | None = "all",
        architecture: Architecture = "flexible",
        backbone: Backbone = "efficientnet-b0",
        channels: Sequence[int] = (16, 32, 64, 128, 256),
    ) -> None:
        super().__init__(class_names, method, upsampler, unfreeze)
        _check_choice("architecture", architecture, get_args(Architecture))
        _check_choice("backbone", backbone, get_args(Backbone))
        _check_channels(architecture, channels)
        self.architecture, self.backbone, self.channels = architecture, backbone, list(channels)
        self.divisor = 2 ** (FLEXIBLE_LEVELS if architecture == "flexible" else len(channels) - 1)
        self.model = self._build(len(self.class_names))

    def settings(self) -> dict[str, Any]:
        """Return architecture, channels and, of ``flexible``, the backbone."""
        settings: dict[str, Any] = {"architecture": self.architecture, "channels": self.channels}
        return settings | ({"backbone": self.backbone} if self.architecture == "flexible" else {})

    def _build(self, outputs: int) -> nn.Module:
        if self.architecture == "flexible":
            return _flexible_unet(self.backbone, self.channels, outputs)
        strides = [2] * (len(self.channels) - 1)
        if self.architecture == "attention":
            return AttentionUnet(2, 3, outputs, self.channels, strides)
        return _dynunet(self.channels, strides, outputs)


def _flexible_unet(backbone: str, channels: Sequence[int], outputs: int) -> FlexibleUNet:
    model = FlexibleUNet(3, outputs, backbone, pretrained=False, decoder_channels=tuple(reversed(channels)))
    for name in ("_conv_head", "_bn1", "_fc"):  # EfficientNet's classifier, which never runs and would never train
        if hasattr(model.encoder, name):
            setattr(model.encoder, name, nn.Identity())
    return model


def _dynunet(channels: Sequence[int], strides: Sequence[int], outputs: int) -> DynUNet:
    kernels = [3] * len(channels)
    model = DynUNet(2, 3, outputs, kernels, [1, *strides], strides, filters=channels)
    # the nested view of the same layers is not registered, because checkpoints would hold every weight twice
    nested = model._modules.pop("skip_layers")
    object.__setattr__(model, "skip_layers", nested)
    return model


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")


def _check_channels(architecture: str, channels: Sequence[int]) -> None:
    levels, flexible = len(channels), architecture == "flexible"
    if min(channels, default=0) < 1 or levels < 3 or (flexible and levels != FLEXIBLE_LEVELS):
        raise ValueError(
            f"channels is {list(channels)}; it must be {FLEXIBLE_LEVELS if flexible else 'three or more'} numbers from "
            f"1 for the architecture {architecture!r}, such as [16, 32, 64, 128, 256]."
        )
