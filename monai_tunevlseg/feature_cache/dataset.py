"""The dataset, the inferer and the picture of a run with a feature cache."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import SimpleInferer
from monai.transforms import ScaleIntensity
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from monai_tunevlseg.data.transforms.sample_loading import UNCOLLATED_KEYS
from monai_tunevlseg.feature_cache.cache import LABEL, FeatureCache
from monai_tunevlseg.feature_cache.views import Views
from monai_tunevlseg.networks import ImageFeatures
from monai_tunevlseg.training import NUMBER, SeededDataset, derive_seed

__all__ = ["FeatureDataset", "FeatureInferer", "image_for_tensorboard"]


class FeatureDataset(Dataset):
    """A dataset with the features of a frozen encoder in place of each ``image``.

    The first sample that is requested fills the cache. After that no image file is read and no image is encoded, as
    long as there is room. Each epoch takes the next view of each sample, so that all views are used equally often.

    Args:
        dataset: its samples, transform, seed and epoch are used; no sample is taken from it.
        cache: the features.
        num_views: random augmentations of each image, drawn once; 0 = one view without the random transforms.

    Raises:
        FileNotFoundError: when a file of a sample does not exist.
        ValueError: when ``num_views`` is negative.
    """

    def __init__(self, dataset: SeededDataset, cache: FeatureCache, num_views: int = 0) -> None:
        self.dataset = dataset
        self.cache = cache
        self.views = Views(dataset.data, dataset.transform, dataset.seed, num_views, cache.encoder)
        self._filled = False

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a sample: its features, its label, its number and all else but the paths.

        Raises:
            RuntimeError: in a worker process of a loader, which has neither the network nor the cache.
        """
        if get_worker_info() is not None:
            raise RuntimeError("a dataset with a feature cache belongs to the main process; set num_workers to 0.")
        if not self._filled:
            self._filled = True
            self.cache.fill(self.views)
        group, number = self.views.places[index]
        view = (derive_seed(self.dataset.seed, index) + self.dataset.epoch) % self.views.count
        entry = dict(self.cache.get(self.views, group, view))
        label = entry.pop(LABEL)[number]
        kept = {key: value for key, value in self.dataset.data[index].items() if key not in UNCOLLATED_KEYS}
        return {**kept, NUMBER: index, "image": ImageFeatures(entry), "label": label[None].float()}


class FeatureInferer(SimpleInferer):
    """MONAI's ``SimpleInferer`` on image features, which other runs with the same base model may have cached.

    Args:
        cache: the features.
    """

    def __init__(self, cache: FeatureCache) -> None:
        super().__init__()
        self.cache = cache

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a network on images (B, 3, H, W)."""
        return network(self.cache.encode(inputs), *args, **kwargs)


def image_for_tensorboard(image: Tensor | ImageFeatures) -> Tensor | None:
    """Return an image (3, H, W) scaled to [0, 1]; None for features."""
    scaled: Any = ScaleIntensity()(image) if isinstance(image, torch.Tensor) else None
    return scaled
