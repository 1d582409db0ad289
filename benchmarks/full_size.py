"""CLIPSeg at its published size (ViT-B/16, 352x352) with random weights, as a local folder: no network is needed."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, ViTImageProcessorPil
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from monai_tunevlseg.demo.tokenizer import build_tokenizer

__all__ = ["IMAGE_SIZE", "save_full_size"]

IMAGE_SIZE = 352


def save_full_size(folder: Path) -> Path:
    """Save the model in the form in which it is published, 600 MB, unless it is there.

    Its configuration says 224 pixels and its image processor 352. Its tokenizer is the demo's, whose few hundred tokens
    are the first of the 49408.
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
            parameter.add_(torch.randn_like(parameter) * 0.02)  # transformers leaves biases and norms at 0 and 1
    model.save_pretrained(folder)
    ViTImageProcessorPil(
        size=IMAGE_SIZE, image_mean=IMAGENET_DEFAULT_MEAN, image_std=IMAGENET_DEFAULT_STD
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
