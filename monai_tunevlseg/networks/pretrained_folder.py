"""Folders of base models: found on the disk or on the hub, and read with errors that name the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, HFValidationError
from huggingface_hub.utils import httpx
from transformers import CLIPTokenizer

from monai_tunevlseg.networks.image_settings import PROCESSOR_FILES

__all__ = ["load_from_folder_or_hub", "load_tokenizer", "name_in_errors", "error_reason"]

T = TypeVar("T")

_FILES = (
    ("config.json",),
    ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"),
    ("tokenizer.json", "vocab.json"),
)
_CONTENT = "config.json, preprocessor_config.json or processor_config.json, model.safetensors and the tokenizer"
MAX_REASON_LENGTH = 300  # characters
_POINTER = b"version https://git-lfs"


@contextmanager
def name_in_errors(file: Path) -> Iterator[None]:
    """Name a file or folder in the error of a library that fails to read it.

    Raises:
        ValueError: in place of any other error.
    """
    try:
        yield
    except Exception as error:  # libraries fail with any exception on malformed bytes
        raise ValueError(
            f"{file} cannot be read ({error_reason(error)}); it is damaged, truncated or of another type: "
            "download it again."
        ) from error


def error_reason(error: Exception) -> str:
    """Return the reason of an error in one line, without torch's advice to load the file unsafely."""
    said = str(error)
    if (refused := re.search(r"WeightsUnpickler error: (.*?)(?:\. |\.?\n|$)", said)) is not None:
        said = refused[1]
    return " ".join(said.split()).rstrip(".")[:MAX_REASON_LENGTH] or type(error).__name__


def load_tokenizer(folder: Path, vocabulary_size: int) -> CLIPTokenizer:
    """Load the base model's own tokenizer.

    Args:
        folder: folder of the base model.
        vocabulary_size: number of the model's token embeddings.

    Raises:
        FileNotFoundError: when the vocabulary is missing, for which transformers returns an empty tokenizer.
        ValueError: when the vocabulary is larger than the model's, or cannot be read.
    """
    with name_in_errors(folder / next((name for name in _FILES[-1] if (folder / name).is_file()), _FILES[-1][0])):
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    if tokenizer.vocab_size <= len(tokenizer.all_special_tokens):
        raise FileNotFoundError(
            f"the base model {str(folder)!r} has no tokenizer; it needs tokenizer.json, or vocab.json and merges.txt."
        )
    if max(tokenizer.get_vocab().values()) >= vocabulary_size:
        raise ValueError(
            f"the tokenizer of {str(folder)!r} has {len(tokenizer)} tokens and its text encoder {vocabulary_size}; "
            "pass the tokenizer that the model was trained with."
        )
    return tokenizer


def load_from_folder_or_hub(pretrained: str, load: Callable[[Path], T]) -> T:
    """Load from a local folder, the hub's local cache or the hub, in this order.

    Folders and cached models need no network access.

    Args:
        pretrained: folder or hub id.
        load: function that loads a complete folder.

    Raises:
        FileNotFoundError: when ``pretrained`` is a folder that does not exist or lacks a file.
        ConnectionError: when the model is not cached, and the hub is unreachable or lacks it.
        PermissionError: when the model is not cached, and its license has to be accepted on the hub.
        ValueError: when a file is a git-lfs pointer.
    """
    folder = Path(pretrained).expanduser()
    if pretrained and folder.is_dir():
        return load(_check_complete(folder))
    if not pretrained or pretrained.startswith((".", "/", "~")) or pretrained.count("/") > 1:
        raise FileNotFoundError(
            f"the base model's folder {pretrained!r} does not exist; pass pretrained=FOLDER with {_CONTENT}, or a hub "
            "id."
        )
    return load(_find_in_cache(pretrained) or _check_complete(_download(pretrained)))


def _check_complete(folder: Path) -> Path:
    for alternatives in _FILES:
        if not any((folder / name).is_file() for name in alternatives):
            raise FileNotFoundError(
                f"the base model's folder {str(folder)!r} has no {alternatives[0]}; pass pretrained=FOLDER with "
                f"{_CONTENT}."
            )
    for file in folder.iterdir():
        if file.is_file() and _begins_with(file, _POINTER):
            raise ValueError(
                f"{file} is a git-lfs pointer instead of the file itself; run 'git lfs pull' in its folder, or "
                "download the file again."
            )
    return folder


def _begins_with(file: Path, start: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(start)) == start


def _find_in_cache(pretrained: str) -> Path | None:
    """Return a model's folder in the cache if it has a processor file, which sets the image size."""
    try:
        folder = _check_complete(Path(snapshot_download(pretrained, local_files_only=True)))
    except (OSError, HFValidationError):
        return None
    return folder if any((folder / name).is_file() for name in PROCESSOR_FILES) else None


def _download(pretrained: str) -> Path:
    try:
        # a single request fails fast; the client retries each file for minutes
        files = [file.rfilename for file in HfApi().model_info(pretrained, timeout=20).siblings or ()]
        weights = "*.safetensors" if any(name.endswith(".safetensors") for name in files) else "*.bin"
        return Path(snapshot_download(pretrained, allow_patterns=["*.json", "merges.txt", weights]))
    except GatedRepoError as error:
        raise PermissionError(
            f"the base model {pretrained!r} is gated, and the Hugging Face hub refuses its download to this account; "
            f"accept the license at {constants.ENDPOINT}/{pretrained} and run 'hf auth login' with a token of the "
            f"account that accepted it, or pass pretrained=FOLDER, a local folder with {_CONTENT}."
        ) from error
    except (OSError, HFValidationError, httpx.HTTPError) as error:
        raise ConnectionError(
            f"the base model {pretrained!r} is not complete in the local cache, and its download from the Hugging "
            f"Face hub failed ({type(error).__name__}); pass pretrained=FOLDER, a local folder with {_CONTENT}, or run "
            "once with access to the hub."
        ) from error
