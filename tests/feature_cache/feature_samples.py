"""Small datasets, and the transforms of a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from monai.transforms import Compose, EnsureTyped, NormalizeIntensityd, Resized
from PIL import Image

from monai_tunevlseg.data import Augmentd, LoadImageMaskd


def write_pairs(folder: Path, count: int = 3, classes: int = 1) -> list[dict]:
    """Write pictures of 24 x 40 pixels with stripes of their classes; return their samples."""
    rng = np.random.default_rng(0)
    data = []
    for number in range(count):
        image, mask = folder / f"{number}.png", folder / f"{number}_mask.png"
        values = np.zeros((24, 40), np.uint8)
        for value in range(1, classes + 1):
            values[:, value * 8 - 6 : value * 8] = value
        noise = rng.integers(0, 100, (24, 40, 3))
        Image.fromarray((noise + values[..., None] * 40).astype(np.uint8)).save(image)
        Image.fromarray(values).save(mask)
        for value in range(1, classes + 1):
            sample = {"image": str(image), "label": str(mask), "text": f"class {value}", "class_name": f"class {value}"}
            data.append(sample | {"label_value": value})
    return data


def transform_of(size: int = 32, probability: float = 1.0) -> Compose:
    """Compose the transforms of a bundle, with an augmentation that shows in every view."""
    return Compose(
        [
            LoadImageMaskd(),
            Resized(keys=["image", "label"], spatial_size=(size, size), mode=["bilinear", "nearest-exact"]),
            Augmentd(prob=probability, rotate=40, brightness=0.4),
            NormalizeIntensityd(keys="image", subtrahend=[0.5] * 3, divisor=[0.2] * 3, channel_wise=True),
            EnsureTyped(keys=["image", "label"], track_meta=False),
        ]
    )
