"""A loaded base model: the frozen network, its tokenizer, and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from torch import nn
from transformers import PreTrainedTokenizerBase

__all__ = ["BaseModel", "fingerprint", "from_folder_or_hub"]

T = TypeVar("T")


@dataclass(frozen=True)
class BaseModel:
    """A published VLSM with what prompt tuning needs to know of it.

    Several networks may share one, for none of them changes it.

    Attributes:
        name: hub id or folder that it was loaded from.
        model: the network, float32.
        tokenizer: the model's own tokenizer.
        image_size: side of the square images that the model was trained on, in pixels.
        fingerprint: digest of the weights; see :func:`fingerprint`.
    """

    name: str
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    image_size: int
    fingerprint: str


def fingerprint(model: nn.Module) -> str:
    """Digest names, shapes and values of all weights: 16 hexadecimal digits that name the base in a checkpoint."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def from_folder_or_hub(pretrained: str, load: Callable[[str, bool], T]) -> T:
    """Load from a local folder, the hub's local cache or the hub, in this order.

    A folder and a cached model never touch the network.

    Args:
        pretrained: folder or hub id.
        load: called with ``pretrained`` and whether only local files may be used; raises OSError for what is missing.

    Raises:
        FileNotFoundError: when ``pretrained`` is the path of a folder that does not exist.
        ConnectionError: when the model is not cached and the hub cannot be reached or does not have it.
    """
    if Path(pretrained).expanduser().is_dir():
        return load(str(Path(pretrained).expanduser()), True)
    if pretrained.startswith((".", "/", "~")) or pretrained.count("/") > 1:
        raise FileNotFoundError(
            f"the base model's folder {pretrained!r} does not exist; pass pretrained=FOLDER with config.json, "
            "model.safetensors and the tokenizer, or a hub id."
        )
    try:
        return load(pretrained, True)
    except OSError:
        _ask_hub(pretrained)
    return load(pretrained, False)


def _ask_hub(pretrained: str) -> None:
    """Fetch one small file, so that an unreachable hub is found at once and not once per file with retries."""
    try:
        snapshot_download(pretrained, allow_patterns="config.json")
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ConnectionError(
            f"the base model {pretrained!r} is not in the local cache and the Hugging Face hub did not deliver it "
            f"({type(error).__name__}); pass pretrained=FOLDER, a local folder with config.json, model.safetensors and "
            "the tokenizer, or run once where the hub can be reached."
        ) from error
