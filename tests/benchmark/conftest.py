"""Results folders that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_results import write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """Two datasets with everything; read-only."""
    return write_study(tmp_path_factory.mktemp("study"), ["kvasir", "ultrasound"])
