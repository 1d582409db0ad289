"""Loading of a published SAM 3, or SAM 3 LiteText: configuration, weights, tokenizer and image settings."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from transformers import __version__ as transformers_version
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD

from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks.base_model import BaseModel, check_fingerprint, fingerprint
from monai_tunevlseg.networks.image_settings import LARGEST_SIDE, ImageSettings, read_image_settings
from monai_tunevlseg.networks.pretrained_folder import load_from_folder_or_hub, load_tokenizer
from monai_tunevlseg.networks.transformers_model import check_model_type, check_settings, load_model, parse_config

__all__ = ["load_sam3"]

logger = logging.getLogger(__name__)

TEXT_LENGTH = 32
"""Number of tokens to which the processor of SAM 3 pads every text."""

_FUSION_PARTS = ("detr_encoder_config", "detr_decoder_config", "mask_decoder_config")
_SCALE_FACTORS = [4.0, 2.0, 1.0, 0.5]
_VIDEO = "_video"
"""Suffix of the type of a model for videos, whose detector is a SAM 3 and whose tracker is not needed."""


class _Variant(NamedTuple):
    """Prefix of transformers' classes, and type and least number of positions of the text encoder."""

    prefix: str
    text_type: str
    positions: int


_VARIANTS = {
    "sam3": _Variant("Sam3", "clip_text_model", TEXT_LENGTH),
    "sam3_lite_text": _Variant("Sam3LiteText", "sam3_lite_text_text_model", 1),  # interpolates its positions
}


def load_sam3(pretrained: str | Path, expected_fingerprint: str | None = None) -> BaseModel:
    """Load a SAM 3 base model.

    The published weights hold a tracker of objects in videos beside the model itself; the tracker is left out.

    Args:
        pretrained: hub id, such as ``facebook/sam3`` or ``vil-uob/sam3-litetext-s1``, or a local folder in
            transformers' format (``config.json``, ``processor_config.json``, ``model.safetensors``, tokenizer), which
            needs no network access. The model is a ``Sam3Model``, ``Sam3LiteTextModel`` or ``Sam3VideoModel``.
        expected_fingerprint: the only fingerprint that is accepted; None for any.

    Raises:
        FileNotFoundError: when the folder, or a file in it, is missing.
        ConnectionError: when the model cannot be downloaded from the hub.
        PermissionError: when the hub asks to accept the model's license first.
        ImportError: when the installed transformers lacks the model.
        ValueError: when a file is damaged, the folder holds another type of model, weights are missing, or the
            fingerprint is not the expected one.
    """
    base = load_from_folder_or_hub(str(pretrained), lambda folder: _load(folder, str(pretrained)))
    check_fingerprint(base, expected_fingerprint)
    return base


def _load(folder: Path, name: str) -> BaseModel:
    config = _read_config(folder / "config.json")
    model = load_model(_import(config.model_type, "modeling", "Model"), config, _count_layers(config), folder)
    tokenizer = load_tokenizer(folder, config.text_config.vocab_size)
    return BaseModel(name, model, tokenizer, _images(folder, config), fingerprint(model, _settings(config), tokenizer))


def _import(model_type: str, module: str, suffix: str) -> Any:
    """Import a class of transformers from its own module, because the one of the package asks for torchvision.

    Raises:
        ImportError: when the installed transformers lacks it.
    """
    try:
        imported = importlib.import_module(f"transformers.models.{model_type}.{module}_{model_type}")
        return getattr(imported, _VARIANTS[model_type].prefix + suffix)
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"transformers {transformers_version} cannot import its model {model_type!r} ({error}); run "
            "'pip install --upgrade transformers'."
        ) from error


def _read_config(file: Path) -> Any:
    """Read the configuration, and check the values that transformers does not validate.

    Raises:
        ValueError: when it is damaged, or belongs to another type of model; names the file.
    """
    entries = _detector(read_json_object(file), file)
    check_model_type(entries.get("model_type"), _VARIANTS, "Sam3Model", file)
    config = parse_config(_import(entries["model_type"], "configuration", "Config"), entries, file)
    _check(config, file)
    return config


def _detector(entries: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return the detector's configuration from that of a model for videos, and any other configuration unchanged."""
    model_type = str(entries.get("model_type"))
    if not model_type.endswith(_VIDEO) or model_type.removesuffix(_VIDEO) not in _VARIANTS:
        return entries
    detector = entries.get("detector_config")
    if not isinstance(detector, dict):
        raise ValueError(
            f"{file} has the detector_config {detector!r:.100}, which is not a mapping; download it again."
        )
    return {"model_type": model_type.removesuffix(_VIDEO)} | detector


def _check(config: Any, file: Path) -> None:
    checks = chain(_part_checks(config), _vit_checks(config.vision_config.backbone_config), _pyramid_checks(config))
    check_settings(checks, f"a {_VARIANTS[config.model_type].prefix}Model", file)


def _part_checks(config: Any) -> Iterator[tuple[str, Any, bool]]:
    """Yield checks of the types of the parts; all checks are generators, because later ones rely on earlier ones."""
    variant, vision, text = _VARIANTS[config.model_type], config.vision_config, config.text_config
    yield "vision_config.model_type", vision.model_type, vision.model_type == "sam3_vision_model"
    vit = vision.backbone_config.model_type
    yield "backbone_config.model_type", vit, vit == "sam3_vit_model"
    yield "text_config.model_type", text.model_type, text.model_type == variant.text_type
    positions = text.max_position_embeddings
    yield "text_config.max_position_embeddings", positions, positions >= variant.positions


def _vit_checks(vit: Any) -> Iterator[tuple[str, Any, bool]]:
    layers, windowless, heads = vit.num_hidden_layers, vit.global_attn_indexes, vit.num_attention_heads
    yield "num_channels", vit.num_channels, vit.num_channels == 3
    yield "patch_size", vit.patch_size, _is_side(vit.patch_size)
    yield "image_size", vit.image_size, _is_side(vit.image_size) and vit.image_size % vit.patch_size == 0
    # the position embeddings are those of a square of whole patches
    pretrained = vit.pretrain_image_size
    yield "pretrain_image_size", pretrained, _is_side(pretrained) and pretrained >= vit.patch_size
    yield "window_size", vit.window_size, 0 < vit.window_size <= LARGEST_SIDE
    yield "global_attn_indexes", windowless, all(0 <= index < layers for index in windowless)
    # rotary positions turn pairs of channels, half of them by the row and half by the column
    yield "num_attention_heads", heads, heads > 0 and vit.hidden_size % (4 * heads) == 0


def _pyramid_checks(config: Any) -> Iterator[tuple[str, Any, bool]]:
    """Yield checks of the parts that share the maps of the feature pyramid."""
    vision, stages = config.vision_config, config.mask_decoder_config.num_upsampling_stages
    yield "scale_factors", vision.scale_factors, vision.scale_factors == _SCALE_FACTORS
    yield "num_upsampling_stages", stages, stages >= len(_SCALE_FACTORS) - 2  # the coarsest map is not used
    for name, part in _fusion_parts(config).items():
        width, heads = part.hidden_size, part.num_attention_heads
        yield f"{name}.hidden_size", width, width == vision.fpn_hidden_size
        yield f"{name}.num_attention_heads", heads, heads > 0 and width % heads == 0


def _is_side(pixels: Any) -> bool:
    return type(pixels) is int and 0 < pixels <= LARGEST_SIDE


def _fusion_parts(config: Any) -> dict[str, Any]:
    """Return the configurations of the parts that combine image and text."""
    return {name: getattr(config, name) for name in _FUSION_PARTS}


def _count_layers(config: Any) -> int:
    encoders = (config.vision_config.backbone_config.num_hidden_layers, config.text_config.num_hidden_layers)
    parts = (config.geometry_encoder_config, config.detr_encoder_config, config.detr_decoder_config)
    stages = config.mask_decoder_config.num_upsampling_stages
    return sum(max(layers, 0) for layers in (*encoders, *(part.num_layers for part in parts), stages))


def _images(folder: Path, config: Any) -> ImageSettings:
    vit = config.vision_config.backbone_config
    own = ImageSettings(vit.image_size, tuple(IMAGENET_STANDARD_MEAN), tuple(IMAGENET_STANDARD_STD))
    if images := read_image_settings(folder, own, vit.patch_size):
        return images
    logger.warning(
        "the base model's folder %s has no processor_config.json: the image size is %d pixels, from config.json, and "
        "the mean and standard deviation of each channel are %s and %s, those of the published SAM 3.",
        *(folder, own.size, own.mean[0], own.std[0]),
    )
    return own


def _settings(config: Any) -> dict[str, Any]:
    """Return the settings that affect results but no shape of a weight."""
    vit, text = config.vision_config.backbone_config, config.text_config
    of_layers = ("num_attention_heads", "hidden_act", "layer_norm_eps")
    of_fusion = ("num_attention_heads", "hidden_act")
    parts = {"backbone_config": (vit, (*of_layers, "window_size")), "text_config": (text, of_layers)}
    parts |= {name: (part, of_fusion) for name, part in _fusion_parts(config).items()}
    settings: dict[str, Any] = {
        part: {name: getattr(values, name, None) for name in names} for part, (values, names) in parts.items()
    }
    return settings | {
        "model_type": config.model_type,
        "global_attn_indexes": sorted(vit.global_attn_indexes),
        "rope_theta": vit.rope_parameters["rope_theta"],
    }
