from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

AFFINE = np.array([[-0.7, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 2.5, -30], [0, 0, 0, 1]])


@pytest.fixture
def realdata(shared_dir: Path) -> Path:
    return shared_dir / "realdata"


@pytest.fixture
def save() -> Callable[[Path, np.ndarray], Path]:
    """Writes an array in the format of the path's suffix, and creates the folder."""

    def write(path: Path, array: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith((".nii", ".nii.gz")):
            nib.save(nib.Nifti1Image(array, AFFINE), path)
        else:
            Image.fromarray(array).save(path)
        return path

    return write


@pytest.fixture
def as_read() -> Callable[[np.ndarray], np.ndarray]:
    """Turns an array that `save` stores as NIfTI, with axes to left, posterior and superior, upright."""

    def turn(stored: np.ndarray) -> np.ndarray:
        return stored.T if stored.ndim == 2 else np.flip(stored.transpose(2, 1, 0), 0)

    return turn


@pytest.fixture
def binary_folder(tmp_path: Path, save: Callable[[Path, np.ndarray], Path]) -> Path:
    """Ten pictures of 12 x 16 in three formats, with masks; the mask of `case0` is empty."""
    rng = np.random.default_rng(0)
    for number in range(10):
        suffix = (".png", ".jpg", ".bmp")[number % 3]
        mask = np.zeros((12, 16), np.uint8)
        mask[2 : 2 + number, 3:9] = 255
        save(tmp_path / "images" / f"case{number}{suffix}", rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        save(tmp_path / "masks" / f"case{number}.png", mask)
    return tmp_path


@pytest.fixture
def volume_folder(tmp_path: Path, save: Callable[[Path, np.ndarray], Path]) -> Path:
    """Three volumes of 6 x 7 x 5 with label 1 in the slices 1 and 2 and label 2 in slice 2 of the last axis."""
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 7, 5), np.float32)
    labels[1:3, 2:5, 1:3] = 1
    labels[4, 2:5, 2] = 2
    for name in "abc":
        save(tmp_path / "images" / f"{name}.nii.gz", rng.normal(size=(6, 7, 5)).astype(np.float32))
        save(tmp_path / "masks" / f"{name}.nii.gz", labels)
    return tmp_path
