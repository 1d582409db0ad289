"""A loaded base model: the network, its tokenizer, image settings and fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from monai_tunevlseg.networks.image_settings import ImageSettings

__all__ = ["BaseModel", "check_fingerprint", "fingerprint"]


@dataclass(frozen=True)
class BaseModel:
    """A published VLSM with its tokenizer and image settings.

    Several networks may share a base model, because none of them changes it.

    Attributes:
        name: hub id or folder of the model.
        model: the network, float32.
        tokenizer: the model's own tokenizer.
        images: size, mean and standard deviation of the images that the model was trained on.
        fingerprint: digest of the weights and of the settings that affect results; see :func:`fingerprint`.
    """

    name: str
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    images: ImageSettings
    fingerprint: str

    @property
    def image_size(self) -> int:
        """Side of the square images in pixels."""
        return self.images.size

    @property
    def image_mean(self) -> list[float]:
        """Mean of each channel, for images in [0, 1]."""
        return list(self.images.mean)

    @property
    def image_std(self) -> list[float]:
        """Standard deviation of each channel."""
        return list(self.images.std)


def fingerprint(model: nn.Module, settings: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a digest of everything that affects results, 16 hexadecimal digits; it identifies the base in checkpoints.

    The names of weights do not count, because they change with the version of the library.

    Args:
        model: module whose weights count.
        settings: settings that affect results but no weight; serializable as JSON.
        tokenizer: tokenizer whose vocabulary counts.
    """
    weights = sorted(_digest(tensor) for tensor in model.state_dict().values())
    content = [weights, settings, tokenizer.get_vocab()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _digest(tensor: Tensor) -> str:
    digest = hashlib.sha256(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
    digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_fingerprint(base: BaseModel, expected: str | None) -> None:
    """Check that a base model is the expected one.

    Args:
        base: the loaded model.
        expected: its fingerprint; None for any.

    Raises:
        ValueError: when the fingerprint differs; names both.
    """
    if expected is not None and base.fingerprint != str(expected):
        raise ValueError(
            f"the base model {base.name!r} has the fingerprint {base.fingerprint}, but base_fingerprint is {expected}: "
            "it is a different or modified model; pass pretrained=FOLDER with the right one, or base_fingerprint null "
            "to train from scratch."
        )
