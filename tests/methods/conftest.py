"""Where the tests of methods create their tensors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _device(device) -> Iterator[None]:
    """Create tensors on the device of ``--device``."""
    with torch.device(device):
        yield
