"""Loading of a published CLIPSeg: configuration, weights, tokenizer and image settings."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from torch import nn
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation
from transformers.activations import QuickGELUActivation
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks.base_model import BaseModel, check_fingerprint, fingerprint
from monai_tunevlseg.networks.clipseg.transposed_convolution import NonOverlappingConvTranspose2d
from monai_tunevlseg.networks.image_settings import ImageSettings, read_image_settings
from monai_tunevlseg.networks.precision import limit_bfloat16
from monai_tunevlseg.networks.pretrained_folder import load_from_folder_or_hub, load_tokenizer
from monai_tunevlseg.networks.quick_gelu import QuickGELU
from monai_tunevlseg.networks.transformers_model import check_model_type, check_settings, load_model, parse_config

__all__ = ["load_clipseg"]

WIDE_PRODUCTS = re.compile(
    r"clip\.(text|vision)_model\.encoder\.layers\.\d+\.(self_attn|mlp)|clip\.visual_projection"
    r"|decoder\.(reduces\.\d+|layers\.\d+\.mlp)"
)

logger = logging.getLogger(__name__)


def load_clipseg(pretrained: str | Path, expected_fingerprint: str | None = None) -> BaseModel:
    """Load a CLIPSeg base model.

    Size, mean and standard deviation of images come from ``preprocessor_config.json``, because the published
    checkpoints have 224 pixels in ``config.json`` but are used at the 352 pixels of that file.

    Args:
        pretrained: hub id, such as ``CIDAS/clipseg-rd64`` or ``CIDAS/clipseg-rd64-refined``, or a local folder in
            transformers' format (``config.json``, ``preprocessor_config.json``, ``model.safetensors``, tokenizer),
            which needs no network access.
        expected_fingerprint: the only fingerprint that is accepted; None for any.

    Raises:
        FileNotFoundError: when the folder, or a file in it, is missing.
        ConnectionError: when the model cannot be downloaded from the hub.
        PermissionError: when the hub asks to accept the model's license first.
        ValueError: when a file is damaged, the folder holds another type of model, weights are missing, or the
            fingerprint is not the expected one.
    """
    base = load_from_folder_or_hub(str(pretrained), lambda folder: _load(folder, str(pretrained)))
    check_fingerprint(base, expected_fingerprint)
    return base


def _load(folder: Path, name: str) -> BaseModel:
    config = _read_config(folder)
    encoders, taps = (config.text_config, config.vision_config), config.extract_layers
    layers = sum(max(part.num_hidden_layers, 0) for part in encoders) + len(taps)
    model = _with_fast_parts(load_model(CLIPSegForImageSegmentation, config, layers, folder))
    limit_bfloat16(model, _wide_products(model))
    tokenizer = load_tokenizer(folder, config.text_config.vocab_size)
    return BaseModel(name, model, tokenizer, _images(folder, config), fingerprint(model, _settings(config), tokenizer))


def _images(folder: Path, config: Any) -> ImageSettings:
    vision = config.vision_config
    own = ImageSettings(vision.image_size, tuple(IMAGENET_DEFAULT_MEAN), tuple(IMAGENET_DEFAULT_STD))
    if images := read_image_settings(folder, own, vision.patch_size):
        return images
    logger.warning(
        "the base model's folder %s has no preprocessor_config.json: the image size is %d pixels, from config.json; "
        "a published CLIPSeg has 352 in the missing file.",
        *(folder, own.size),
    )
    return own


def _read_config(folder: Path) -> Any:
    """Read the configuration, and check the values that transformers does not validate.

    Raises:
        ValueError: when it is damaged, or belongs to another type of model; names the file.
    """
    file = folder / "config.json"
    entries = read_json_object(file)
    check_model_type(entries.get("model_type"), [CLIPSegConfig.model_type], CLIPSegForImageSegmentation.__name__, file)
    config = parse_config(CLIPSegConfig, entries, file)
    _check(config, file)
    return config


def _check(config: Any, file: Path) -> None:
    vision, taps, heads = config.vision_config, list(config.extract_layers), config.decoder_num_attention_heads
    checks = (
        ("num_channels", vision.num_channels, vision.num_channels == 3),
        ("image_size", vision.image_size, type(vision.image_size) is int and vision.image_size > 0),
        ("patch_size", vision.patch_size, type(vision.patch_size) is int and vision.patch_size > 0),
        ("extract_layers", taps, bool(taps) and all(0 <= tap < vision.num_hidden_layers for tap in taps)),
        ("decoder_num_attention_heads", heads, heads > 0 and config.reduce_dim % heads == 0),
        ("conditional_layer", config.conditional_layer, 0 <= config.conditional_layer < len(taps)),
    )
    check_settings(checks, f"a CLIPSeg of {vision.num_hidden_layers} vision layers", file)


def _settings(config: Any) -> dict[str, Any]:
    """Return the settings that affect results but no shape of a weight."""
    of_layers = ("num_attention_heads", "hidden_act", "layer_norm_eps")
    parts = {part: getattr(config, part) for part in ("text_config", "vision_config")}
    settings: dict[str, Any] = {
        part: {name: getattr(values, name) for name in of_layers} for part, values in parts.items()
    }
    own = ("conditional_layer", "decoder_num_attention_heads")
    return settings | {name: getattr(config, name) for name in own} | {"extract_layers": list(config.extract_layers)}


def _with_fast_parts(model: CLIPSegForImageSegmentation) -> CLIPSegForImageSegmentation:
    """Replace modules of transformers by faster ones with the same weights and results."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, QuickGELUActivation):
                setattr(module, name, QuickGELU())
            if isinstance(child, nn.ConvTranspose2d) and child.kernel_size == child.stride:
                setattr(module, name, NonOverlappingConvTranspose2d(child))
    return model


def _wide_products(model: nn.Module) -> list[str]:
    """Return the names of the modules that lose little in bfloat16 and take nearly all of the time.

    The decoder's attention is not among them: its scores reach hundreds where attention is sharp, so that rounded ones
    choose other patches. The maps ``reduces`` are, so that the features of an image take half the memory.
    """
    return [name for name, _ in model.named_modules() if WIDE_PRODUCTS.fullmatch(name)]
