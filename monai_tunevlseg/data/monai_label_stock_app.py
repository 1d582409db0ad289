"""What MONAI Label's own bundle app needs of a bundle: samples without texts, and label maps as it writes them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_tunevlseg.data.intensity_windows import window_entry, with_intensity_windows
from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.volumes import stored_affine, stored_order
from monai_tunevlseg.data.layouts.folder import samples_of
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Sample

__all__ = ["CompletePairs", "STOCK_APP_KEY", "ToMONAILabelFormatd"]

STOCK_APP_KEY = "image_path"
"""A key that items of MONAI Label's bundle app have, and those of a bundle's own run have not."""


class CompletePairs:
    """Makes (image, class) pairs of samples that have an image and a label only, and measures volumes.

    MONAI Label puts such samples in the place of a bundle's datalists. Samples of volumes get an `intensity_window`
    where they have none: their range, measured here once and not by each loader process.

    Args:
        class_names: what is learned.
        label_values: the value of each class in the masks; None = binary for one class, 1..K in order for K.
        mask_threshold: values of binary masks from here on are foreground; None = binary masks must be clean.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of volumes.
        intensity_window: the values of the image files that become 0 and 1, as `build_datalists` takes it.
        every_slice: whether slices of a volume that show nothing of a class are pairs too.

    Raises:
        ValueError: when the names or values contradict each other, or the window is not one.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        label_values: Mapping[str, int] | None = None,
        mask_threshold: float | None = None,
        slice_axis: int = 2,
        intensity_window: Sequence[float] | None = None,
        every_slice: bool = False,
    ) -> None:
        self.encoding = MaskEncoding(class_names, label_values, mask_threshold, every_slice=every_slice)
        self.slice_axis = slice_axis
        self.window = window_entry(intensity_window)

    def __call__(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the pairs.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when a mask cannot be read or is not as described.
        """
        return with_intensity_windows([pair for sample in samples for pair in self._pairs(sample)])

    def _pairs(self, sample: Sample) -> list[Sample]:
        if "text" in sample:
            return [sample]
        pairs = samples_of(Path(sample["image"]), Path(sample["label"]), self.encoding, self.slice_axis)
        return [pair | self.window for pair in pairs]


class ToMONAILabelFormatd(MapTransform):
    """Turns label maps as MONAI Label's bundle app writes them; in a bundle's own run it changes nothing.

    That app takes pictures with columns first and without a channel, and geometry from ``original_affine``.

    Args:
        keys: of label maps (1, ...), the image's own size; its meta data are those of ``image``.
    """

    def __init__(self, keys: KeysCollection = "pred") -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert one item."""
        sample = dict(data)
        if STOCK_APP_KEY not in sample:
            return sample
        image = sample["image"]
        source = Path(image.meta["filename_or_obj"])
        volume = is_volume_file(source)
        image.meta["original_affine"] = torch.from_numpy(stored_affine(source)) if volume else image.affine
        for key in self.key_iterator(sample):
            labels = sample[key]
            stored = torch.from_numpy(stored_order(labels[0].cpu().numpy(), source)) if volume else labels[0].T
            image.meta["spatial_shape"] = list(stored.shape)
            sample[key] = stored if stored.ndim == 2 else stored[None]
        return sample
