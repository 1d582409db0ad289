"""Tiny random SAM 3 models in the forms of the published ones."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer, ViTImageProcessorPil
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD

IMAGE_SIZE = 32  # pixels; 4 x 4 patches in windows of 2 x 2
WIDTH = 16  # two channels for each of the eight groups of the group norms


def tiny_sam3_entries(vocabulary_size: int) -> dict[str, Any]:
    """Return configuration entries that keep the published order of sizes.

    The ViT has two global layers among four, and the image is twice as large as the one that it was pretrained on.
    """
    layers = {"intermediate_size": 32, "num_attention_heads": 2}
    vit = layers | {"hidden_size": 32, "num_hidden_layers": 4, "image_size": IMAGE_SIZE, "patch_size": 8}
    vit |= {"pretrain_image_size": 16, "window_size": 2, "global_attn_indexes": [1, 3], "model_type": "sam3_vit_model"}
    fusion = layers | {"hidden_size": WIDTH}
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    return {
        "vision_config": {"backbone_config": vit, "fpn_hidden_size": WIDTH, "model_type": "sam3_vision_model"},
        "text_config": text | {"projection_dim": 8, "max_position_embeddings": 32, "vocab_size": vocabulary_size},
        "geometry_encoder_config": fusion | {"num_layers": 1},
        "detr_encoder_config": fusion | {"num_layers": 2},
        "detr_decoder_config": fusion | {"num_layers": 2, "num_queries": 4},
        "mask_decoder_config": {"hidden_size": WIDTH, "num_attention_heads": 2},
    }


def save_sam3(folder: Path, tokenizer: CLIPTokenizer) -> Path:
    """Save a random ``Sam3Model`` with tokenizer and image processor."""
    entries = tiny_sam3_entries(len(tokenizer))
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    entries["text_config"] |= special | {"model_type": "clip_text_model", "hidden_act": "gelu"}
    return _save("sam3", "Sam3", entries, folder, tokenizer)


def save_sam3_lite_text(folder: Path, tokenizer: CLIPTokenizer) -> Path:
    """Save a random ``Sam3LiteTextModel``, whose first and last text layers are convolutions."""
    return _save("sam3_lite_text", "Sam3LiteText", tiny_sam3_entries(len(tokenizer)), folder, tokenizer)


def _save(model_type: str, prefix: str, entries: dict[str, Any], folder: Path, tokenizer: CLIPTokenizer) -> Path:
    # the classes of the package itself ask for torchvision
    modules = f"transformers.models.{model_type}"
    config_class = getattr(importlib.import_module(f"{modules}.configuration_{model_type}"), f"{prefix}Config")
    model_class = getattr(importlib.import_module(f"{modules}.modeling_{model_type}"), f"{prefix}Model")
    torch.manual_seed(0)
    model = model_class(config_class(**entries))
    _randomize(model)
    model.save_pretrained(folder)
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(folder)
    processor = ViTImageProcessorPil(
        size=IMAGE_SIZE, image_mean=IMAGENET_STANDARD_MEAN, image_std=IMAGENET_STANDARD_STD
    )
    content = {"image_processor": processor.to_dict(), "processor_class": "Sam3Processor", "target_size": IMAGE_SIZE}
    (folder / "processor_config.json").write_text(json.dumps(content))
    return folder


def _randomize(model: torch.nn.Module) -> None:
    """Change all weights and batch norm statistics, most of all where texts meet images.

    With transformers' initial ones the logits are nearly constant.
    """
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point():
                share = 0.5 if "cross_attn." in name or "text_projection" in name else 0.1
                value.add_(torch.randn_like(value) * share)


def as_published(folder: Path) -> Path:
    """Change the folder of a ``Sam3Model`` into the form of ``facebook/sam3``: the detector of a model for videos.

    Its configuration has the older form of the rotary positions.
    """
    config = json.loads((folder / "config.json").read_text())
    vit = config["vision_config"]["backbone_config"]
    vit["rope_theta"] = vit.pop("rope_parameters")["rope_theta"]
    video = {"model_type": "sam3_video", "architectures": ["Sam3VideoModel"], "detector_config": config}
    tracker = {"model_type": "sam3_tracker_video"}
    (folder / "config.json").write_text(json.dumps(video | {"tracker_config": tracker, "dtype": "float32"}))
    weights = {f"detector_model.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    weights["tracker_model.memory_attention.layers.0.linear1.weight"] = torch.ones(3, 2)
    weights["tracker_neck.fpn_layers.0.proj1.bias"] = torch.ones(3)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
