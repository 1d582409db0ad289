"""Augmentation of images and masks in training."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import convert_to_dst_type

__all__ = ["Augmentd"]


class Augmentd(Randomizable, MapTransform):
    """Shifts, rotates and scales an image and its mask, and changes brightness and contrast (with Albumentations).

    All geometric changes are one resampling, so that an image is blurred at most once. Image and mask are mirrored at
    the border, because black wedges do not occur in real images. The mask is resampled by nearest neighbors. Geometric
    changes and changes of intensity are each applied with probability `prob`. `meta` stays unchanged, so that geometric
    changes cannot be inverted.

    All random numbers derive from MONAI's `R`: on every call, it seeds Albumentations' generators, those of geometric
    changes and of intensity changes separately, so that they are independent.

    Args:
        keys: keys of the image, (3, H, W) in [0, 1], and the mask, (1, H, W) in {0, 1, 255}.
        prob: probability of geometric changes, and of changes of intensity.
        scale: largest relative change of size.
        translate: largest shift, relative to the size.
        rotate: largest angle, in degrees.
        brightness: largest change of brightness, relative to the range.
        contrast: largest relative change of contrast.

    Raises:
        ValueError: when the number of keys is not 2, or a number is out of range.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        prob: float = 0.2,
        scale: float = 0.02,
        translate: float = 0.02,
        rotate: float = 5.0,
        brightness: float = 0.1,
        contrast: float = 0.1,
    ) -> None:
        super().__init__(keys)
        if len(self.keys) != 2:
            raise ValueError(f"keys must be those of an image and its mask, not {self.keys}.")
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must be in 0..1, not {prob}.")
        for name, value in {
            "scale": scale,
            "translate": translate,
            "brightness": brightness,
            "contrast": contrast,
        }.items():
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 and less than 1, not {value}.")
        self._pipeline = _build_pipeline(prob, scale, translate, rotate, brightness, contrast)
        self._seeds: list[int] = []

    def randomize(self, data: Any = None) -> None:
        """Draw the seeds of one call, for geometric changes and for changes of intensity."""
        self._seeds = self.R.randint(2**32, size=len(self._pipeline.transforms), dtype=np.uint64).tolist()

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """Augment one sample."""
        sample = dict(data)
        self.randomize()
        for change, seed in zip(self._pipeline.transforms, self._seeds, strict=True):
            change.set_random_seed(seed)  # the pipeline's own method gives all of them the same seed
        image, mask = (sample[key] for key in self.keys)
        changed = self._pipeline(
            image=np.ascontiguousarray(np.moveaxis(np.asarray(image), 0, -1)), mask=np.asarray(mask[0], dtype=np.uint8)
        )
        for key, array in zip(self.keys, (np.moveaxis(changed["image"], -1, 0), changed["mask"][None]), strict=True):
            sample[key] = convert_to_dst_type(np.ascontiguousarray(array), sample[key])[0]
        return sample


def _build_pipeline(
    prob: float, scale: float, translate: float, rotate: float, brightness: float, contrast: float
) -> Any:
    # without this, Albumentations asks a server for its newest version when it is imported
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations
    import cv2

    return albumentations.Compose(
        [
            albumentations.Affine(
                scale=(1 - scale, 1 + scale),
                translate_percent=(-translate, translate),
                rotate=(-rotate, rotate),
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST,
                border_mode=cv2.BORDER_REFLECT_101,
                p=prob,
            ),
            albumentations.RandomBrightnessContrast(brightness, contrast, p=prob),
        ]
    )
