"""MONAI transforms between a datalist and the network, and between the network and a label map."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from monai.utils import convert_to_dst_type

from monai_tunevlseg.data.masks import mask_paths, read_label
from monai_tunevlseg.data.pictures import turned_by_exif
from monai_tunevlseg.data.reading import is_nifti, read_image
from monai_tunevlseg.data.volumes import upright_affine
from monai_tunevlseg.data.windows import check_window

__all__ = ["PLACE_KEYS", "Augmentd", "LabelMapd", "LoadSampled"]

PLACE_KEYS = ("slice", "slice_axis", "intensity_window")
"""Of a sample: what only says how its image is loaded. Pictures have none of them, and batches are of both."""


class LoadSampled(MapTransform):
    """Loads the image of a sample and, for one class, its mask; other keys pass through.

    `image` becomes a `MetaTensor` of shape (3, H, W), float32 in [0, 1]; a NIfTI volume of which the sample names no
    slice becomes (3, S, A, R), from superior to inferior, anterior to posterior and the patient's right to left, so
    that slices stand upright whatever the file's order. `label` becomes (1, H, W) or (1, S, A, R), float32 in {0, 1},
    and 255 where pixels are to be ignored. The sample's other keys (see `cases.Sample`) say how the mask codes the
    class, and which slice of a volume it is; the `PLACE_KEYS` end here. A tensor is left unchanged, such as an image
    that was loaded for another sample of it.

    `meta` holds `filename_or_obj`, `affine` (4, 4) and `spatial_shape`, for batches of any size.

    Args:
        with_label: load `label` too.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices, for samples with a `slice` but no `slice_axis`.
        intensity_window: the values of the file that become 0 and 1, for samples without an `intensity_window`; None =
            0.5 and 99.5 percent of a volume's values lie below them, and a picture's type tells them.

    Raises:
        ValueError: when the window is not two finite numbers, the lower one first.
    """

    def __init__(
        self, with_label: bool = True, slice_axis: int = 2, intensity_window: Sequence[float] | None = None
    ) -> None:
        super().__init__(("image", "label") if with_label else ("image",))
        check_window(intensity_window)
        self.slice_axis = slice_axis
        self.intensity_window = None if intensity_window is None else list(intensity_window)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load one sample.

        Raises:
            KeyError: when the sample has no `image`, or no `label` where one is wanted.
            FileNotFoundError: when there is no such file.
            ValueError: when a file cannot be decoded, the mask's values are not as expected, or the sizes differ.
        """
        sample = dict(data)
        place = [sample.pop(key, default) for key, default in zip(PLACE_KEYS, self._defaults(), strict=True)]
        loaded = isinstance(sample["image"], torch.Tensor)
        image = Path(sample["image"].meta["filename_or_obj"] if loaded else sample["image"])
        if not loaded:
            affine = upright_affine(image, None if place[0] is None else place[1]) if is_nifti(image) else np.eye(4)
            sample["image"] = _meta_tensor(np.moveaxis(read_image(image, *place), -1, 0), image, affine)
        if "label" in self.keys and not isinstance(sample["label"], torch.Tensor):
            label = read_label({**data, "image": image}, self.slice_axis)[None]
            sample["label"] = _meta_tensor(label, mask_paths(sample)[0], sample["image"].affine)
        if "label" in self.keys:
            _check_same_size(sample["image"], sample["label"])
        return sample

    def _defaults(self) -> tuple[None, int, list[float] | None]:
        return None, self.slice_axis, self.intensity_window


class Augmentd(Randomizable, MapTransform):
    """Moves, turns and scales an image with its mask, and changes the image's brightness and contrast (Albumentations).

    The geometric changes are one resampling, so that an image is blurred at most once. What enters at the border is
    the mirrored image and the equally mirrored mask: black wedges would be a feature that no real image has. The mask
    is resampled by nearest neighbors. Each of the two groups of changes is applied with probability `prob`. `meta` is
    left unchanged, so that geometric changes cannot be inverted.

    All numbers follow from MONAI's `R`, whichever way it is seeded; Albumentations' own generators are seeded from it
    at every call, each group of changes with a seed of its own, so that the two are independent.

    Args:
        keys: of the image, (3, H, W) in [0, 1], and the mask, (1, H, W) in {0, 1, 255}.
        prob: probability of each group of changes.
        scale: largest relative change of size.
        translate: largest shift, relative to the size.
        rotate: largest angle, in degrees.
        brightness: largest change of brightness, relative to the range.
        contrast: largest relative change of contrast.

    Raises:
        ValueError: when there are not two keys or a number is out of range.
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
            raise ValueError(f"Augmentd needs the keys of an image and its mask, not {self.keys}.")
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
        """Draw the seeds of one call, one for each group of changes."""
        self._seeds = self.R.randint(2**32, size=len(self._pipeline.transforms), dtype=np.uint64).tolist()

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """Augment one sample."""
        sample = dict(data)
        self.randomize()
        for change, seed in zip(self._pipeline.transforms, self._seeds, strict=True):
            change.set_random_seed(seed)  # the pipeline's own method gives all of them the same one
        image, mask = (sample[key] for key in self.keys)
        changed = self._pipeline(
            image=np.ascontiguousarray(np.moveaxis(np.asarray(image), 0, -1)), mask=np.asarray(mask[0], dtype=np.uint8)
        )
        for key, array in zip(self.keys, (np.moveaxis(changed["image"], -1, 0), changed["mask"][None]), strict=True):
            sample[key] = convert_to_dst_type(np.ascontiguousarray(array), sample[key])[0]
        return sample


class LabelMapd(MapTransform):
    """Turns logits (K, ...) into a label map (1, ...) of uint8.

    0 is background; k + 1 is where class k has the highest probability and that is above 0.5: where classes overlap,
    such as findings of a radiograph, only the most probable one is kept, while evaluation scores each class alone.
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Convert one decollated item."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            highest, index = sample[key].max(dim=0, keepdim=True)
            # sigmoid(x) > 0.5 where x > 0
            sample[key] = ((index + 1) * (highest > 0)).to(torch.uint8)
        return sample


def _meta_tensor(array: np.ndarray, path: Path, affine: np.ndarray | torch.Tensor) -> MetaTensor:
    meta = {"filename_or_obj": str(path), "spatial_shape": np.asarray(array.shape[1:])}
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return MetaTensor(tensor, affine=torch.as_tensor(affine), meta=meta)


def _check_same_size(image: MetaTensor, label: MetaTensor) -> None:
    if image.shape[1:] != label.shape[1:]:
        turned = turned_by_exif(Path(image.meta["filename_or_obj"]), image.shape[1:], label.shape[1:])
        raise ValueError(
            f"{label.meta['filename_or_obj']} is {tuple(label.shape[1:])} but its image "
            f"{image.meta['filename_or_obj']} {tuple(image.shape[1:])}; a mask must have the size of its image{turned}."
        )


def _build_pipeline(
    prob: float, scale: float, translate: float, rotate: float, brightness: float, contrast: float
) -> Any:
    # Albumentations asks a server for a newer version when it is imported, unless this is set.
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
