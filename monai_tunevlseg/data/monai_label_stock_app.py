"""Support for MONAI Label's own bundle app: it gives a bundle samples without texts, and writes label maps itself."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.intensity_windows import window_entry, with_intensity_windows
from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.volumes import stored_affine, stored_order
from monai_tunevlseg.data.layouts.folder import samples_of
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.data.text_sets import text_set_chooser

__all__ = ["STOCK_APP_KEY", "CompletePairs", "ToMONAILabelFormatd"]

STOCK_APP_KEY = "image_path"
"""Key of items from MONAI Label's bundle app; items of a bundle's own runs lack it."""


class CompletePairs:
    """Makes (image, class) pairs from samples with only an image and a label, and measures volumes.

    MONAI Label replaces a bundle's datalists by such samples. Samples of volumes without an `intensity_window` get the
    range of the volume, measured here once instead of in each loader process.

    Args:
        spec: how images and labels are read, and the file of text sets; its folder, splits and other texts have no
            effect.

    Raises:
        FileNotFoundError: when the file of text sets does not exist.
        ValueError: when the names or values contradict each other, or the file is not as described.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        self.encoding = spec.encoding()
        self.slice_axis = spec.slice_axis
        self.window = window_entry(spec.intensity_window)
        self.text_set_of = text_set_chooser(spec)

    def __call__(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the pairs.

        Raises:
            FileNotFoundError: when a file does not exist.
            ValueError: when a mask cannot be read or is not as described.
        """
        return with_intensity_windows([pair for sample in samples for pair in self._pairs(sample)])

    def _pairs(self, sample: Sample) -> list[Sample]:
        if "text" in sample:
            return [sample]
        pairs = samples_of(Path(sample["image"]), Path(sample["label"]), self.encoding, self.slice_axis)
        if self.text_set_of is not None:
            pairs = [pair | {"text_set": self.text_set_of(pair)} for pair in pairs]
        return [pair | self.window for pair in pairs]


class ToMONAILabelFormatd(MapTransform):
    """Converts label maps to the form that MONAI Label's bundle app writes; changes nothing in a bundle's own runs.

    That app expects pictures with columns first and without a channel, and the geometry in ``original_affine``.

    Args:
        keys: keys of label maps (1, ...) at the image's own size; the metadata is that of ``image``.
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
