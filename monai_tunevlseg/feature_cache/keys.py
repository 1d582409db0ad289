"""What an entry of the feature cache is called: a digest of everything that its content follows from."""

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

__all__ = ["content_of", "describe", "digest", "source_digests", "times_of"]

UNREAD = ("text", "class_name", "group", "number")  # of a sample: what neither image nor mask follows from


def digest(*parts: Any) -> str:
    """Return a name, 32 hexadecimal digits, for what can be written as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def content_of(group: ImageGroup, digest_file: Callable[[Path], Any]) -> dict[str, Any]:
    """Say which image a group shows and where its masks are: by what the files hold, and not by their paths.

    Args:
        group: as :func:`~monai_tunevlseg.data.group_by_image` makes it.
        digest_file: :func:`source_digests`, or one that remembers.

    Raises:
        FileNotFoundError: when a file does not exist.
    """
    position = {key: value for key, value in group.items() if key != "pairs"}
    pairs = [
        {key: value for key, value in pair.items() if key not in UNREAD}
        | {"label": [digest_file(path) for path in mask_paths(pair)]}
        for pair in group["pairs"]
    ]
    return position | {"image": digest_file(Path(group["image"])), "pairs": pairs}


def times_of(group: ImageGroup) -> list[int]:
    """Return when a group's files were changed last, in nanoseconds."""
    paths = [Path(group["image"]), *(path for pair in group["pairs"] for path in mask_paths(pair))]
    return [source.stat().st_mtime_ns for path in paths for source in source_files(path)]


def source_digests(path: Path) -> list[str]:
    """Return the suffixes and the digests of a file and of those that it refers to.

    Raises:
        FileNotFoundError: when a file does not exist.
    """
    digests = []
    for source in source_files(path):
        with source.open("rb") as file:
            digests += [source.suffix, hashlib.file_digest(file, "sha256").hexdigest()]
    return digests


def describe(item: Any, above: tuple[int, ...] = ()) -> Any:
    """Describe a transform by its class and all that it holds, as what can be written as JSON.

    Random generators are left out, for who caches seeds them. What is of no known kind is described by its ``repr``:
    where that tells the address in memory, no other run finds what was cached.
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
    if hasattr(item, "to_dict"):  # as Albumentations' transforms have it
        return describe(item.to_dict(), inside)
    if hasattr(item, "__dict__"):
        return [describe(type(item)), describe(vars(item), inside)]
    return repr(item)


def _describe_function(function: types.FunctionType, inside: tuple[int, ...]) -> Any:
    """Describe a function by what it does and by the values that it was made with."""
    code = function.__code__
    made_of = [code.co_code.hex(), repr(code.co_names), _constants(code)]
    enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
    made_with = describe([function.__defaults__, function.__kwdefaults__, enclosed], inside)
    return [function.__module__, function.__qualname__, made_of, made_with]


def _constants(code: types.CodeType) -> list[Any]:
    """Return a function's constants; a function inside it by its own, because its ``repr`` tells an address."""
    return [
        [each.co_code.hex(), repr(each.co_names), _constants(each)] if isinstance(each, types.CodeType) else repr(each)
        for each in code.co_consts
    ]
