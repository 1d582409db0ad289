"""VLSMs at their published size with random weights, as local folders that need no download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, ViTImageProcessorPil
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
)

from monai_tunevlseg.demo.tokenizer import build_tokenizer
from monai_tunevlseg.networks import CRIS, VLSMS, BaseModel, ImageSettings

__all__ = ["FULL_SIZE", "IMAGES", "load_full_size", "save_full_size"]

IMAGES = {
    "clipseg": ImageSettings(352, tuple(IMAGENET_DEFAULT_MEAN), tuple(IMAGENET_DEFAULT_STD)),
    "sam3": ImageSettings(1008, tuple(IMAGENET_STANDARD_MEAN), tuple(IMAGENET_STANDARD_STD)),
}
"""Published settings of the models in transformers' format."""


def build_clipseg() -> nn.Module:
    """Build CLIPSeg with ViT-B/16.

    Its decoder gets the initialization of torch, as in its authors' code. That of transformers gives the
    projections of the taps weights of standard deviation 1, thirty times those of torch, and so attention to single
    patches, whose choice depends on the last bits.
    """
    tokenizer = build_tokenizer()
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = CLIPSegForImageSegmentation(CLIPSegConfig(text_config=special, vision_config={"patch_size": 16}))
    for module in model.decoder.modules():
        if isinstance(module, nn.Linear | nn.ConvTranspose2d | nn.LayerNorm):
            module.reset_parameters()
    return model


def build_sam3() -> nn.Module:
    """Build SAM 3; its modules are imported here, because not every version of transformers has them."""
    from transformers.models.sam3.configuration_sam3 import Sam3Config
    from transformers.models.sam3.modeling_sam3 import Sam3Model

    return Sam3Model(Sam3Config())


FULL_SIZE: dict[str, Callable[[], nn.Module]] = {"clipseg": build_clipseg, "cris": CRIS, "sam3": build_sam3}
"""Builders of the published architectures by registered name."""


def load_full_size(name: str, bases: Path) -> BaseModel:
    """Load a base model from its folder below ``bases``; write it first unless it exists."""
    return VLSMS[name].load_base(str(save_full_size(name, bases)))


def save_full_size(name: str, bases: Path) -> Path:
    """Save a model in its published form to ``bases / name`` (CLIPSeg 0.6 GB, SAM 3 3.4 GB), unless the folder exists.

    Like the published checkpoints, CLIPSeg's configuration says 224 pixels and its image processor 352. The tokenizer
    is the demo's, with the first few hundred of the 49408 tokens.
    """
    folder = bases / name
    if (folder / "tokenizer.json").is_file():
        return folder
    torch.manual_seed(0)
    model: Any = FULL_SIZE[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)  # transformers initializes biases and norms with 0 and 1
    model.save_pretrained(folder)
    images = IMAGES[name]
    ViTImageProcessorPil(size=images.size, image_mean=images.mean, image_std=images.std).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder
