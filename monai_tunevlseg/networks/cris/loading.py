"""The folder of a CRIS base model: ``config.json``, ``model.safetensors`` and the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from monai_tunevlseg.atomic_files import atomic_folder
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks.base_model import BaseModel, check_fingerprint, fingerprint
from monai_tunevlseg.networks.cris.config import IMAGE_STRIDE, CRISConfig
from monai_tunevlseg.networks.cris.model import CRIS
from monai_tunevlseg.networks.image_settings import ImageSettings, read_image_settings
from monai_tunevlseg.networks.pretrained_folder import load_from_folder_or_hub, load_tokenizer, name_in_errors
from monai_tunevlseg.networks.stored_weights import check_dtypes, check_finite, stored_weights

__all__ = ["compare_weights", "empty_cris", "load_cris", "read_cris", "read_tokenizer", "save_cris"]

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
NAMES_SHOWN = 10


def load_cris(pretrained: str | Path, expected_fingerprint: str | None = None) -> BaseModel:
    """Load a CRIS base model.

    Args:
        pretrained: local folder written by ``tunevlseg convert-cris`` (``config.json``, ``model.safetensors``,
            tokenizer), which needs no network access, or the hub id of such a folder.
        expected_fingerprint: the only fingerprint that is accepted; None for any.

    Raises:
        FileNotFoundError: when the folder, or a file in it, is missing.
        ConnectionError: when the model cannot be downloaded from the hub.
        PermissionError: when the hub asks to accept the model's license first.
        ValueError: when the folder holds another type of model, weights do not fit, or the fingerprint is not the
            expected one.
    """
    base = load_from_folder_or_hub(str(pretrained), lambda folder: _load(folder, str(pretrained)))
    check_fingerprint(base, expected_fingerprint)
    return base


def _load(folder: Path, name: str) -> BaseModel:
    model, tokenizer = read_cris(folder)
    config = model.config
    own = ImageSettings(config.image_size, tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD))
    images = read_image_settings(folder, own, IMAGE_STRIDE) or own
    heads = {part: getattr(config, part) for part in ("text_heads", "vision_heads", "decoder_heads")}
    return BaseModel(name, model, tokenizer, images, fingerprint(model, heads, tokenizer))


def save_cris(model: CRIS, tokenizer: CLIPTokenizer, folder: Path) -> Path:
    """Write the folder of a CRIS and its tokenizer for ``load_cris``, atomically.

    Raises:
        FileExistsError: when ``folder`` is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not an empty folder; choose another folder, or remove it.")
    with atomic_folder(folder) as unfinished:
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(weights, unfinished / WEIGHTS_FILE, metadata={"format": "pt"})
        (unfinished / CONFIG_FILE).write_text(json.dumps(model.config.to_dict(), indent=2) + "\n")
        # safetensors ignores the umask and makes files readable by their owner alone
        (unfinished / WEIGHTS_FILE).chmod((unfinished / CONFIG_FILE).stat().st_mode)
        tokenizer.save_pretrained(unfinished)
    return folder


def read_cris(folder: Path) -> tuple[CRIS, CLIPTokenizer]:
    """Read a CRIS, in float32, and its tokenizer.

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: when the folder holds another type of model, weights do not fit, or a file is damaged.
    """
    config = _read_config(folder / CONFIG_FILE)
    weights = _read_weights(folder / WEIGHTS_FILE)
    if (layers := config.text_layers + sum(config.vision_blocks) + config.decoder_layers) > len(weights):
        raise ValueError(
            f"{folder / CONFIG_FILE} describes {layers} layers, but {WEIGHTS_FILE} has only {len(weights)} tensors; "
            "the files do not belong together: convert the model again."
        )
    model = empty_cris(config)
    if differences := compare_weights(model.state_dict(), weights):
        raise ValueError(f"{folder / WEIGHTS_FILE} is not the CRIS of its {CONFIG_FILE}: {differences}.")
    model.load_state_dict(weights, assign=True)
    check_finite(model, folder)
    return model.float().eval(), read_tokenizer(folder, config.vocab_size)


def empty_cris(config: CRISConfig) -> CRIS:
    """Build a CRIS on the meta device, without values until ``load_state_dict(..., assign=True)``."""
    with torch.device("meta"):
        return CRIS(config)


def read_tokenizer(folder: Path, vocab_size: int) -> CLIPTokenizer:
    """Read the CLIP tokenizer of a vocabulary that ends with EOS.

    Raises:
        FileNotFoundError: when the folder has no tokenizer.
        ValueError: when its vocabulary differs from the model's.
    """
    tokenizer = load_tokenizer(folder, vocab_size)
    # the text encoder finds EOS as the last token of the vocabulary
    if tokenizer.eos_token_id != vocab_size - 1:
        raise ValueError(
            f"the tokenizer in {folder} has {len(tokenizer)} tokens and the EOS id {tokenizer.eos_token_id}, but the "
            f"model's vocabulary has {vocab_size} tokens, EOS last; pass the tokenizer of its training."
        )
    return tokenizer


def compare_weights(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], optional: Iterable[str] = ()
) -> str | None:
    """List missing, unexpected and misshapen weights, at most ten of each.

    Args:
        expected: weights of a model; only names and shapes count.
        found: weights of a file.
        optional: names that may be missing.

    Returns:
        the list as text, or None if the weights match.
    """
    missing = sorted(set(expected) - set(found) - set(optional))
    unexpected = sorted(set(found) - set(expected))
    misshapen = [
        f"{name} {list(found[name].shape)} instead of {list(expected[name].shape)}"
        for name in sorted(set(expected) & set(found))
        if found[name].shape != expected[name].shape
    ]
    named = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    return "; ".join(f"{len(names)} {kind}: {_shown(names)}" for kind, names in named.items() if names) or None


def _shown(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")


def _read_config(file: Path) -> CRISConfig:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; pass a folder that 'tunevlseg convert-cris' has written.")
    try:
        return CRISConfig.from_dict(read_json_object(file))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} does not describe a CRIS: {error} Pass a folder that 'tunevlseg convert-cris' has written."
        ) from error


def _read_weights(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; pass a folder that 'tunevlseg convert-cris' has written.")
    check_dtypes(stored_weights(file.parent), file.parent)
    with name_in_errors(file):
        return load_file(file)
