"""The keys of the feature cache: digests of all that the features of a view depend on."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_tunevlseg.data.image_groups import ImageGroup
from monai_tunevlseg.data.io.volumes import source_files
from monai_tunevlseg.data.sample_masks import mask_paths

__all__ = ["describe", "describe_content", "digest", "modification_times", "source_digests"]

IGNORED_KEYS = ("text", "text_set", "class_name", "group", "number")
"""Keys of a sample that change neither image nor mask."""


def digest(*parts: Any) -> str:
    """Return a digest of 32 hexadecimal digits of values for JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def describe_content(group: ImageGroup, digest_file: Callable[[Path], Any]) -> dict[str, Any]:
    """Describe the image of a group and its masks by the contents of the files and not by their paths.

    Args:
        group: a group of :func:`~monai_tunevlseg.data.group_by_image`.
        digest_file: :func:`source_digests`, possibly cached.

    Raises:
        FileNotFoundError: when a file does not exist.
    """
    position = {key: value for key, value in group.items() if key != "pairs"}
    pairs = [
        {key: value for key, value in pair.items() if key not in IGNORED_KEYS}
        | {"label": [digest_file(path) for path in mask_paths(pair)]}
        for pair in group["pairs"]
    ]
    return position | {"image": digest_file(Path(group["image"])), "pairs": pairs}


def modification_times(group: ImageGroup) -> list[int]:
    """Return the modification times of a group's files in nanoseconds."""
    paths = [Path(group["image"]), *(path for pair in group["pairs"] for path in mask_paths(pair))]
    return [source.stat().st_mtime_ns for path in paths for source in source_files(path)]


def source_digests(path: Path) -> list[str]:
    """Return the suffixes and digests of a file and of the files that it refers to.

    Raises:
        FileNotFoundError: when a file does not exist.
    """
    digests = []
    for source in source_files(path):
        with source.open("rb") as file:
            digests += [source.suffix, hashlib.file_digest(file, "sha256").hexdigest()]
    return digests


def describe(item: Any, above: tuple[int, ...] = ()) -> Any:
    """Describe a transform by its class and attributes, as values for JSON.

    Random generators are left out, because the cache seeds them. Objects of other types are described by their
    ``repr``: if it contains an address in memory, other runs do not find the cached features.
    """
    if item is None or isinstance(item, bool | int | float | str):
        return item
    if isinstance(item, np.random.RandomState | np.random.Generator | random.Random) or id(item) in above:
        return None
    inside = (*above, id(item))
    if isinstance(item, Mapping):
        return [[describe(key, inside), describe(value, inside)] for key, value in item.items()]
    if isinstance(item, list | tuple):
        return [describe(value, inside) for value in item]
    if isinstance(item, set | frozenset):
        return sorted(repr(value) for value in item)
    if isinstance(item, np.ndarray | torch.Tensor):
        array = np.ascontiguousarray(item)
        return [str(array.dtype), array.shape, hashlib.sha256(array.data).hexdigest()]
    return _describe_object(item, inside)


def _describe_object(item: Any, inside: tuple[int, ...]) -> Any:
    if isinstance(item, type):
        return f"{item.__module__}.{item.__qualname__}"
    if isinstance(item, functools.partial):
        return ["partial", describe([item.func, item.args, item.keywords], inside)]
    if isinstance(item, types.MethodType):
        return [describe(item.__func__, inside), describe(item.__self__, inside)]
    if isinstance(item, types.FunctionType):
        return _describe_function(item, inside)
    if hasattr(item, "to_dict"):  # Albumentations' transforms
        return describe(item.to_dict(), inside)
    if hasattr(item, "__dict__"):
        return [describe(type(item)), describe(vars(item), inside)]
    return repr(item)


def _describe_function(function: types.FunctionType, inside: tuple[int, ...]) -> Any:
    """Describe a function by its code, defaults and closure."""
    code = function.__code__
    made_of = [code.co_code.hex(), repr(code.co_names), _constants(code)]
    enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
    made_with = describe([function.__defaults__, function.__kwdefaults__, enclosed], inside)
    return [function.__module__, function.__qualname__, made_of, made_with]


def _constants(code: types.CodeType) -> list[Any]:
    """Return a function's constants; a nested function by its code, because its ``repr`` contains an address."""
    return [
        [each.co_code.hex(), repr(each.co_names), _constants(each)] if isinstance(each, types.CodeType) else repr(each)
        for each in code.co_consts
    ]
