"""Small pictures and masks for datasets in their owners' form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 32, 48
Truth = dict[str, dict[str, np.ndarray]]


def picture(rng: np.random.Generator) -> np.ndarray:
    """A smooth colored picture, unlike any other."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def blob(number: int) -> np.ndarray:
    """A mask of 0 and 1 whose edges lie on the blocks of JPEG, another one for each of twelve numbers."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    row, column = divmod(number % 12, 4)
    mask[8 * row : 8 * row + 16, 8 * column : 8 * column + 16] = 1
    return mask


def noisy(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Foreground of 247..255 and background of 0..8, as JPEG leaves them."""
    noise = rng.integers(0, 9, mask.shape, dtype=np.uint8)
    return np.where(mask == 1, 255 - noise, noise)


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)


def rgb(mask: np.ndarray) -> np.ndarray:
    return np.repeat(mask[..., None], 3, axis=-1)
