"""Tiny base models in the place of those of full size."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_bases(tmp_path_factory, tiny_clipseg_dir, tiny_sam3_dir) -> Path:
    """Folder of the tiny base models' folders, by registered name."""
    bases = tmp_path_factory.mktemp("bases")
    for name, folder in {"clipseg": tiny_clipseg_dir, "sam3": tiny_sam3_dir}.items():
        (bases / name).symlink_to(folder)
    return bases
