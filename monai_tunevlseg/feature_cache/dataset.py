"""The dataset of a run whose image features are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.transforms import ScaleIntensity
from torch import Tensor
from torch.utils.data import get_worker_info

from monai_tunevlseg.data.transforms import PLACE_KEYS
from monai_tunevlseg.feature_cache.cache import LABEL, FeatureCache
from monai_tunevlseg.feature_cache.views import Views
from monai_tunevlseg.networks import ImageFeatures
from monai_tunevlseg.training import SeededDataset, derive_seed

__all__ = ["FeatureDataset", "shown"]


class FeatureDataset(SeededDataset):
    """A ``SeededDataset`` whose ``image`` is what a network makes of it before it looks at a text.

    The first sample that is asked for fills the cache; after that no image file is read, and no image encoded, as long
    as there is room. Each epoch takes the next view of each sample, so that all are used equally often.

    Args:
        data: the samples, dictionaries.
        transform: deterministic transforms first.
        seed: of the run, 0 or more.
        cache_rate: see :class:`~monai_tunevlseg.training.SeededDataset`; of no use with features, and not heeded then.
        features: the cache; None = a ``SeededDataset`` and nothing else.
        views: random augmentations of each image, drawn once; 0 = no random transforms.
        pairs: completes the samples first.

    Raises:
        ValueError: when ``views`` is negative.
    """

    def __init__(
        self,
        data: Sequence,
        transform: Sequence[Callable] | Callable,
        seed: int = 0,
        cache_rate: float = 0.0,
        features: FeatureCache | None = None,
        views: int = 0,
        pairs: Callable[[Sequence], Sequence] | None = None,
    ) -> None:
        super().__init__(pairs(data) if pairs else data, transform, seed, 0.0 if features else cache_rate)
        self.features = features
        self.views = Views(self.data, self.transform, seed, views, features.encoder) if features else None
        self._filled = False

    def _transform(self, index: int) -> Any:
        """Return a sample: its features, its label and whatever else it has.

        Raises:
            RuntimeError: in a loader's worker, which has no network and not what the others have encoded.
        """
        if self.features is None or self.views is None:
            return super()._transform(index)
        if get_worker_info() is not None:
            raise RuntimeError("a dataset with a feature cache belongs to the main process; set num_workers to 0.")
        if not self._filled:
            self._filled = True
            self.features.fill(self.views)
        index %= len(self)
        group, number = self.views.places[index]
        view = (derive_seed(self.seed, index) + self.epoch) % self.views.count
        entry = dict(self.features.get(self.views, group, view))
        label = entry.pop(LABEL)[number]
        kept = {key: value for key, value in self.data[index].items() if key not in PLACE_KEYS}
        return {**kept, "image": ImageFeatures(entry), "label": label[None].float()}


def shown(image: Tensor | ImageFeatures) -> Tensor | None:
    """Return a picture of an image in [0, 1] for TensorBoard; None where only its features are known."""
    scaled: Any = ScaleIntensity()(image) if isinstance(image, torch.Tensor) else None
    return scaled
