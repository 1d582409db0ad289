"""What the tests of a real search share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bundles"))  # small_runs
from small_runs import write_split_pictures  # noqa: E402


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Fourteen pictures with masks, divided."""
    return write_split_pictures(tmp_path_factory.mktemp("pictures"))
