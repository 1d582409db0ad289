"""Makes a CUDA build of torchvision importable beside a CPU build of torch.

Python runs this file at its start if this folder is on ``PYTHONPATH``; ``python -m monai_tunevlseg.monai_label`` puts
it there for itself and for the processes that MONAI Label starts. The package index has torchvision for CUDA only.
Beside a CPU build of torch its operators do not load, and its import fails because it registers metadata of two
operators that torch does not know. The declarations of these two are enough for the import; the operators cannot be
called, and nothing here calls them. For builds of one kind this file does nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

SCHEMA = "{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class TorchvisionOperators:
    """Declares the operators before the import of torchvision."""

    library: Any = None  # the declarations live as long as this object

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Declare the operators when the module is torchvision; other finders find it."""
        if name == "torchvision" and cls in sys.meta_path:
            sys.meta_path.remove(cls)
            cls.declare(PathFinder.find_spec(name, path))
        return

    @classmethod
    def declare(cls, torchvision: ModuleSpec | None) -> None:
        """Declare the operators if torchvision is built for CUDA and torch is not."""
        if torchvision is None or torchvision.origin is None:
            return
        version = Path(torchvision.origin).with_name("version.py").read_text(encoding="utf-8")
        import torch

        if torch.version.cuda is None and re.search(r"__version__ = '[^']*\+cu", version):
            cls.library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                cls.library.define(SCHEMA.format(operator))


sys.meta_path.insert(0, TorchvisionOperators)
