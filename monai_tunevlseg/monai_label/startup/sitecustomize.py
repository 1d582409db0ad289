"""Makes a CUDA build of torchvision importable beside a CPU build of torch.

Python runs this file when it starts and this folder is on ``PYTHONPATH``; ``python -m monai_tunevlseg.monai_label``
puts it there for itself and for the processes that MONAI Label starts. The package index has torchvision for CUDA only.
Beside a CPU build of torch its operators do not load, and its import then fails because it describes two of them that
torch does not know. Declaring these two is enough; without their code they cannot be called, and nothing here does.
Where both are of one kind this file does nothing.
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


class BeforeTorchvision:
    """Declares the operators when torchvision is about to be imported."""

    library: Any = None  # the declarations last as long as this object

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Leave the finding to others."""
        if name == "torchvision" and cls in sys.meta_path:
            sys.meta_path.remove(cls)
            cls.declare(PathFinder.find_spec(name, path))
        return

    @classmethod
    def declare(cls, torchvision: ModuleSpec | None) -> None:
        """Declare the operators, where torchvision was built for CUDA and torch was not."""
        if torchvision is None or torchvision.origin is None:
            return
        version = Path(torchvision.origin).with_name("version.py").read_text(encoding="utf-8")
        import torch

        if torch.version.cuda is None and re.search(r"__version__ = '[^']*\+cu", version):
            cls.library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                cls.library.define(SCHEMA.format(operator))


sys.meta_path.insert(0, BeforeTorchvision)
