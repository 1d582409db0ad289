"""What the tests of a real sweep share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bundles"))  # small_runs
from small_runs import write_pictures  # noqa: E402


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Fourteen pictures with masks: ten to train, two each to validate and test."""
    folder = write_pictures(tmp_path_factory.mktemp("pictures"))
    stems = [f"{number:02}" for number in range(14)]
    splits = {"train": stems[:10], "val": stems[10:12], "test": stems[12:]}
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder
