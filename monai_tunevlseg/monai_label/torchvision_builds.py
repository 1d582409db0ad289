"""Unequal builds of torch and torchvision."""

from __future__ import annotations

import runpy
from pathlib import Path

__all__ = ["STARTUP", "accept_unequal_builds"]

STARTUP = Path(__file__).parent / "startup"
"""The folder on ``PYTHONPATH`` with which other processes accept them from their start."""


def accept_unequal_builds() -> None:
    """Make a CUDA build of torchvision importable beside a CPU build of torch in this process, if it is not imported.

    For builds of one kind this does nothing; `startup/sitecustomize.py` says why and how.
    """
    runpy.run_path(str(STARTUP / "sitecustomize.py"))
