"""Fixtures of the real searches."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bundles"))  # small_runs
from small_runs import write_split_pictures  # noqa: E402


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Return a folder of 14 pictures with masks and splits."""
    return write_split_pictures(tmp_path_factory.mktemp("pictures"))
