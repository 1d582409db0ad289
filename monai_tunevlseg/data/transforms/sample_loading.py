"""Loading of the image and the mask of a sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

from monai_tunevlseg.data.intensity_windows import check_intensity_window
from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.pictures import exif_hint
from monai_tunevlseg.data.io.reading import read_image
from monai_tunevlseg.data.io.volumes import upright_affine
from monai_tunevlseg.data.sample_masks import mask_paths, read_sample_mask

__all__ = ["UNCOLLATED_KEYS", "LoadImageMaskd"]

_PLACE_KEYS = ("slice", "slice_axis", "intensity_window")
UNCOLLATED_KEYS = (*_PLACE_KEYS, "text_set")
"""Keys of a sample that loading removes, because samples of a batch may lack them or have values of another length."""


class LoadImageMaskd(MapTransform):
    """Loads the image of a sample and its mask of one class; other keys pass through.

    `image` becomes a `MetaTensor` of shape (3, H, W), float32 in [0, 1]; a volume without a `slice` in its sample
    becomes (3, S, A, R), from superior to inferior, anterior to posterior and the patient's right to left, so that
    slices are upright. `label` becomes (1, H, W) or (1, S, A, R), float32 in {0, 1}, and 255 at ignored pixels. The
    sample's other keys (see `samples.Sample`) give the encoding of the mask and the slice of a volume;
    `UNCOLLATED_KEYS` are removed. Tensors stay unchanged, such as an image that was loaded for another sample.

    `meta` holds `filename_or_obj`, `affine` (4, 4) and `spatial_shape`, for batches of any size.

    Args:
        with_label: load `label` too.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices, for samples with a `slice` but no `slice_axis`.
        intensity_window: the stored values that become 0 and 1, for samples without an `intensity_window`; None = the
            0.5 and 99.5 percentiles of a volume, and the range of a picture's type.

    Raises:
        ValueError: when the window is not two finite numbers in ascending order.
    """

    def __init__(
        self, with_label: bool = True, slice_axis: int = 2, intensity_window: Sequence[float] | None = None
    ) -> None:
        super().__init__(("image", "label") if with_label else ("image",))
        check_intensity_window(intensity_window)
        self.slice_axis = slice_axis
        self.intensity_window = None if intensity_window is None else list(intensity_window)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load one sample.

        Raises:
            KeyError: when the sample has no `image`, or no `label` although `with_label` is set.
            FileNotFoundError: when a file does not exist.
            ValueError: when a file cannot be decoded, the mask's values are not as expected, or the sizes differ.
        """
        sample = dict(data)
        defaults = (None, self.slice_axis, self.intensity_window)
        place: list[Any] = [sample.pop(key, default) for key, default in zip(_PLACE_KEYS, defaults, strict=True)]
        sample.pop("text_set", None)
        loaded = isinstance(sample["image"], torch.Tensor)
        image = Path(sample["image"].meta["filename_or_obj"] if loaded else sample["image"])
        if not loaded:
            slice_axis = None if place[0] is None else place[1]
            affine = upright_affine(image, slice_axis) if is_volume_file(image) else np.eye(4)
            sample["image"] = _meta_tensor(np.moveaxis(read_image(image, *place), -1, 0), image, affine)
        if "label" in self.keys and not isinstance(sample["label"], torch.Tensor):
            label = read_sample_mask({**data, "image": image}, self.slice_axis)[None]
            sample["label"] = _meta_tensor(label, mask_paths(sample)[0], sample["image"].affine)
        if "label" in self.keys:
            _check_same_size(sample["image"], sample["label"])
        return sample


def _meta_tensor(array: np.ndarray, path: Path, affine: np.ndarray | torch.Tensor) -> MetaTensor:
    meta = {"filename_or_obj": str(path), "spatial_shape": np.asarray(array.shape[1:])}
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return MetaTensor(tensor, affine=torch.as_tensor(affine), meta=meta)


def _check_same_size(image: MetaTensor, label: MetaTensor) -> None:
    if image.shape[1:] != label.shape[1:]:
        turned = exif_hint(Path(image.meta["filename_or_obj"]), image.shape[1:], label.shape[1:])
        raise ValueError(
            f"{label.meta['filename_or_obj']} is {tuple(label.shape[1:])} but its image "
            f"{image.meta['filename_or_obj']} {tuple(image.shape[1:])}; a mask must have the size of its image{turned}."
        )
