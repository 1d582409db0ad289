"""Tensors of a TorchScript archive, read without running its code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_tunevlseg.networks.pretrained_folder import error_reason

__all__ = ["is_torchscript", "read_tensors"]

STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
CLASSES = "__torch__"  # root module of the classes that an archive defines
LISTS = ("build_boollist", "build_doublelist", "build_intlist", "build_tensorlist")
CONTENT, CONSTANTS = "data.pkl", "constants.pkl"
MAX_MODULES = 100_000  # a hundred times the number of the largest CLIP


def is_torchscript(file: Path) -> bool:
    """Return whether a file is an archive of ``torch.jit.save``."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith(f"/{CONSTANTS}") for name in archive.namelist())


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a TorchScript archive's module, by their names in its ``state_dict``.

    Args:
        file: the archive.

    Raises:
        ValueError: when the archive is damaged, or holds more than modules, tensors, numbers and strings.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            root = _Reader(archive).read()
    except Exception as error:  # the unpickler fails with any exception on malformed bytes
        raise ValueError(
            f"{file} is a TorchScript archive whose tensors cannot be read safely ({error_reason(error)}); download it "
            "again from its publisher."
        ) from error
    return dict(_tensors(root, file))


class _Module:
    """A module of the archive: its attributes without its code."""

    entries: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"a module's state has the type {type(state).__name__}")
        self.entries = state


class _Reader(pickle.Unpickler):
    """An unpickler that supports modules, tensors and plain values alone.

    Args:
        archive: the opened file, with uncompressed members.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        contents = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith(f"/{CONTENT}")]
        if len(contents) != 1:
            raise pickle.UnpicklingError(f"it has {len(contents)} files {CONTENT}")
        self.folder = contents[0].removesuffix(CONTENT)
        super().__init__(io.BytesIO(self._member(CONTENT)))

    def read(self) -> Any:
        """Return the root module."""
        return self.load()

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a class or function in the archive.

        Raises:
            pickle.UnpicklingError: when the name is unknown.
        """
        if module.split(".")[0] == CLASSES:
            return _Module
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module == "torch.jit._pickle" and name in LISTS:
            return list
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which weights do not need")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the elements of a storage, (N,)."""
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it refers to a {kind!r}")
        content = self._member(f"data/{key}")
        return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)

    def _member(self, name: str) -> bytes:
        found = self.archive.getinfo(self.folder + name)
        if found.compress_type != zipfile.ZIP_STORED:  # torch never compresses; zip bombs do
            raise pickle.UnpicklingError(f"its member {name} is compressed")
        return self.archive.read(found)


def _rebuilt(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """Return a view of a storage; torch refuses views beyond its end."""
    return storage.as_strided(size, stride, offset)


def _tensors(root: Any, file: Path) -> Iterator[tuple[str, Tensor]]:
    """Iterate over the modules' tensors, without recursion, because an archive may nest modules to any depth.

    Raises:
        ValueError: when the number of modules exceeds ``MAX_MODULES``.
    """
    waiting, seen = [("", root)], 0
    while waiting:
        prefix, module = waiting.pop()
        seen += 1
        if seen > MAX_MODULES:
            raise ValueError(f"{file} has more than {MAX_MODULES} modules; it is not a published CLIP.")
        for name, value in getattr(module, "entries", {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif isinstance(value, _Module):
                waiting.append((f"{prefix}{name}.", value))
