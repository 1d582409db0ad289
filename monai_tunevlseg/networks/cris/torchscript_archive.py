"""Reading the tensors of a TorchScript archive as data; the code in it is never run."""

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
CLASSES = "__torch__"  # all classes that an archive's code defines are below this module
LISTS = ("build_boollist", "build_doublelist", "build_intlist", "build_tensorlist")
CONTENT, CONSTANTS = "data.pkl", "constants.pkl"
MOST_PARTS = 100_000  # modules; a hundred times those of the largest CLIP


def is_torchscript(file: Path) -> bool:
    """Return whether a file is an archive that ``torch.jit.save`` has written."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith(f"/{CONSTANTS}") for name in archive.namelist())


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of the module in a TorchScript archive by their names, as its ``state_dict`` has them.

    Args:
        file: the archive.

    Raises:
        ValueError: when the archive is damaged, or holds anything beyond modules, tensors, numbers and texts.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            root = _Reader(archive).read()
    except Exception as error:  # bytes that are not a pickle make the unpickler fail in any way
        raise ValueError(
            f"{file} is a TorchScript archive whose tensors cannot be read safely ({error_reason(error)}); download it "
            "again from its publisher."
        ) from error
    return dict(_tensors(root, file))


class _Part:
    """A module of the archive: what it holds, and nothing of what it does."""

    entries: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"a module's state is a {type(state).__name__}")
        self.entries = state


class _Reader(pickle.Unpickler):
    """An unpickler that knows modules, tensors and plain values.

    Args:
        archive: the opened file, whose members are stored as they are.
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
        """Return what stands for a name of the archive; all others are refused."""
        if module.split(".")[0] == CLASSES:
            return _Part
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
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not part of a model's weights")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the numbers of a storage, one after the other."""
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it refers to a {kind!r}")
        content = self._member(f"data/{key}")
        return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)

    def _member(self, name: str) -> bytes:
        found = self.archive.getinfo(self.folder + name)
        if found.compress_type != zipfile.ZIP_STORED:  # torch compresses nothing, and a bomb would
            raise pickle.UnpicklingError(f"its member {name} is compressed")
        return self.archive.read(found)


def _rebuilt(numbers: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """Lay numbers out as a tensor; torch refuses to look beyond their end."""
    return numbers.as_strided(size, stride, offset)


def _tensors(root: Any, file: Path) -> Iterator[tuple[str, Tensor]]:
    """Walk through the modules, whose nesting is as deep as the archive likes.

    Raises:
        ValueError: when they are without end.
    """
    waiting, seen = [("", root)], 0
    while waiting:
        prefix, part = waiting.pop()
        seen += 1
        if seen > MOST_PARTS:
            raise ValueError(f"{file} has more than {MOST_PARTS} modules; it is not a published CLIP.")
        for name, value in getattr(part, "entries", {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif isinstance(value, _Part):
                waiting.append((f"{prefix}{name}.", value))
