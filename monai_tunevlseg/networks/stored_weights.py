"""Names, shapes and types of the weights in a base model's folder, without their values."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks.pretrained_folder import name_in_errors

__all__ = ["StoredWeight", "check_finite", "check_dtypes", "stored_weights", "count_elements"]

FLOATS = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
COUNTERS = ("position_ids", "num_batches_tracked")
"""Suffixes of the names of integer weights."""


@dataclass(frozen=True)
class StoredWeight:
    """A tensor in a file.

    Attributes:
        dtype: name of its type in safetensors, such as F32.
        shape: its shape.
    """

    dtype: str
    shape: tuple[int, ...]


def stored_weights(folder: Path) -> dict[str, StoredWeight]:
    """List the weights in ``model.safetensors``, ``pytorch_model.bin``, or the shards in one of their index files.

    Raises:
        FileNotFoundError: when a shard is missing.
        ValueError: when a file is damaged; names it.
    """
    weights: dict[str, StoredWeight] = {}
    for file in _files(folder):
        with name_in_errors(file):
            weights |= _in_safetensors(file) if file.suffix == ".safetensors" else _in_pickle(file)
    return weights


def count_elements(weights: Mapping[str, StoredWeight]) -> int:
    """Return the total number of elements of all weights."""
    return sum(math.prod(weight.shape) for weight in weights.values())


def check_dtypes(weights: Mapping[str, StoredWeight], folder: Path) -> None:
    """Check that all weights are floating-point numbers, because quantized ones lack their scale.

    Raises:
        ValueError: when a weight is not; names it and its type.
    """
    for name, weight in weights.items():
        if weight.dtype not in FLOATS.values() and not name.endswith(COUNTERS):
            raise ValueError(
                f"the weight {name} in {folder} is stored as {weight.dtype}; pass a model whose weights are in "
                "float32, float16 or bfloat16."
            )


def check_finite(model: nn.Module, folder: Path) -> None:
    """Check that all weights are finite.

    Raises:
        ValueError: when a weight holds NaN or infinity; names it.
    """
    for name, tensor in model.state_dict().items():
        # both extremes are NaN if any number is; in one pass they are 20 times as fast as isfinite of all numbers
        if tensor.numel() and not torch.stack(torch.aminmax(tensor)).isfinite().all():
            raise ValueError(
                f"the weight {name} in {folder} holds NaN or infinity; the model is damaged: download it again."
            )


def _files(folder: Path) -> list[Path]:
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _parts(index)
    raise FileNotFoundError(f"no weights in {folder}; it needs model.safetensors or pytorch_model.bin.")


def _parts(index: Path) -> list[Path]:
    places = read_json_object(index).get("weight_map")
    found = set(places.values()) if isinstance(places, dict) else set()
    names = {name for name in found if isinstance(name, str) and Path(name).name == name}
    if not names or names != found:
        raise ValueError(f"{index} has no weight_map from weights to files in its folder; download it again.")
    for name in names:
        if not (index.parent / name).is_file():
            raise FileNotFoundError(f"{index} names the file {name}, which is missing; download it again.")
    return sorted(index.parent / name for name in names)


def _in_safetensors(file: Path) -> dict[str, StoredWeight]:
    with safe_open(file, framework="pt") as opened:
        pieces = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
        return {name: StoredWeight(piece.get_dtype(), tuple(piece.get_shape())) for name, piece in pieces.items()}


def _in_pickle(file: Path) -> dict[str, StoredWeight]:
    content: dict[str, Any] = torch.load(
        file, map_location="meta", weights_only=True, mmap=True if zipfile.is_zipfile(file) else None
    )
    return {
        name: StoredWeight(FLOATS.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))
        for name, tensor in content.items()
    }
