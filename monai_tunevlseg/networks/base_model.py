"""A loaded base model: the frozen network, its tokenizer, and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import httpx
from torch import nn
from transformers import CLIPTokenizer, PreTrainedTokenizerBase

__all__ = ["BaseModel", "checked", "fingerprint", "from_folder_or_hub", "load_tokenizer"]

T = TypeVar("T")

_FILES = (
    ("config.json",),
    ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"),
    ("tokenizer.json", "vocab.json"),
)
_CONTENT = "config.json, model.safetensors and the tokenizer"


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


def checked(base: BaseModel, wanted: str | None) -> BaseModel:
    """Return a base model if it is the wanted one.

    Args:
        base: the loaded model.
        wanted: its fingerprint; None = whichever.

    Raises:
        ValueError: when it has another fingerprint; names both.
    """
    if wanted is not None and base.fingerprint != str(wanted):
        raise ValueError(
            f"the base model {base.name!r} has the fingerprint {base.fingerprint}, but base_fingerprint is {wanted}: "
            "it is another model, or was changed; pass pretrained=FOLDER with the right one, or base_fingerprint null "
            "to train anew."
        )
    return base


def load_tokenizer(pretrained: str, local_files_only: bool, vocabulary_size: int) -> CLIPTokenizer:
    """Load the base model's own tokenizer.

    Args:
        pretrained: folder or hub id.
        local_files_only: leave the network alone.
        vocabulary_size: number of token embeddings of the model.

    Raises:
        FileNotFoundError: when there is no vocabulary; transformers hands out an empty tokenizer then.
        ValueError: when the vocabulary is larger than the model's.
    """
    tokenizer = CLIPTokenizer.from_pretrained(pretrained, local_files_only=local_files_only)
    if tokenizer.vocab_size <= len(tokenizer.all_special_tokens):
        raise FileNotFoundError(
            f"the base model {pretrained!r} has no tokenizer; it needs tokenizer.json, or vocab.json and merges.txt."
        )
    if len(tokenizer) > vocabulary_size:
        raise ValueError(
            f"the tokenizer of {pretrained!r} has {len(tokenizer)} tokens and its text encoder {vocabulary_size}; "
            "pass the tokenizer that the model was trained with."
        )
    return tokenizer


def from_folder_or_hub(pretrained: str, load: Callable[[str, bool], T]) -> T:
    """Load from a local folder, the hub's local cache or the hub, in this order.

    A folder and a cached model never touch the network.

    Args:
        pretrained: folder or hub id.
        load: called with a folder and True, or with a hub id and False: whether only local files may be used; raises
            OSError for what is missing.

    Raises:
        FileNotFoundError: when ``pretrained`` is the path of a folder that does not exist, or one that lacks a file.
        ConnectionError: when the model is not cached and the hub cannot be reached or does not have it.
    """
    folder = Path(pretrained).expanduser()
    if pretrained and folder.is_dir():
        return _load_folder(folder, load)
    if not pretrained or pretrained.startswith((".", "/", "~")) or pretrained.count("/") > 1:
        raise FileNotFoundError(
            f"the base model's folder {pretrained!r} does not exist; pass pretrained=FOLDER with {_CONTENT}, or a hub "
            "id."
        )
    try:
        # a folder of the cache and not the id, for which transformers' tokenizer asks the hub whatever it is told
        return _load_folder(Path(snapshot_download(pretrained, local_files_only=True)), load)
    except (OSError, HFValidationError):
        return _load_from_hub(pretrained, load)


def _load_folder(folder: Path, load: Callable[[str, bool], T]) -> T:
    for alternatives in _FILES:
        if not any((folder / name).is_file() for name in alternatives):
            raise FileNotFoundError(
                f"the base model's folder {str(folder)!r} has no {alternatives[0]}; pass pretrained=FOLDER with "
                f"{_CONTENT}."
            )
    return load(str(folder), True)


def _load_from_hub(pretrained: str, load: Callable[[str, bool], T]) -> T:
    try:
        # one request first: transformers asks for each file with retries that take minutes
        HfApi().model_info(pretrained, timeout=20)
        return load(pretrained, False)
    except (OSError, HFValidationError, httpx.HTTPError) as error:
        raise ConnectionError(
            f"the base model {pretrained!r} is not in the local cache and the Hugging Face hub did not deliver it "
            f"({type(error).__name__}); pass pretrained=FOLDER, a local folder with {_CONTENT}, or run once where the "
            "hub can be reached."
        ) from error
