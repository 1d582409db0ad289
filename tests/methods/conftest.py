"""Where the tests of methods create their tensors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _device(request) -> Iterator[None]:
    """Create tensors on the device of ``--device``."""
    with torch.device(request.config.getoption("--device")):
        yield
