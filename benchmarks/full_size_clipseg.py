"""CLIPSeg at its published size (ViT-B/16, 352x352) with random weights, as a local folder that needs no download."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, ViTImageProcessorPil
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from monai_tunevlseg.demo.tokenizer import build_tokenizer

__all__ = ["IMAGE_SIZE", "save_full_size"]

IMAGE_SIZE = 352


def save_full_size(folder: Path) -> Path:
    """Save the model in its published form (600 MB), unless the folder exists.

    Like the published checkpoints, its configuration says 224 pixels and its image processor 352. The tokenizer is the
    demo's, with the first few hundred of the 49408 tokens.
    """
    if (folder / "tokenizer.json").is_file():
        return folder
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPSegConfig(text_config=special, vision_config={"patch_size": 16})
    model = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)  # transformers initializes biases and norms with 0 and 1
    model.save_pretrained(folder)
    ViTImageProcessorPil(
        size=IMAGE_SIZE, image_mean=IMAGENET_DEFAULT_MEAN, image_std=IMAGENET_DEFAULT_STD
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
