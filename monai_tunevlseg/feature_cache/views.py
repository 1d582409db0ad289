"""The views of a datalist: its images, unchanged or augmented several times, with their masks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from monai.transforms import Compose, RandomizableTrait
from monai.utils import convert_to_tensor
from torch import Tensor

from monai_tunevlseg.data.image_groups import group_by_image, group_samples, load_samples
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.feature_cache.keys import describe, describe_content, digest, modification_times, source_digests
from monai_tunevlseg.training.seeding import derive_seed

__all__ = ["Views"]


class Views:
    """All views of a datalist. A view is deterministic: its augmentation follows from its key.

    Args:
        data: the samples; samples of one image share its views.
        transform: transform from a sample to ``image`` (3, H, W) and ``label`` (1, H, W); the first one is a
            ``LoadImageMaskd``.
        seed: random seed of the augmentations, 0 or more.
        count: random views of each image; 0 = one view without the random transforms.
        encoder: further values for JSON that the features depend on.

    Attributes:
        keys: the key of each view by group and view.
        places: for each sample, the index of its group and its index in the group.

    Raises:
        FileNotFoundError: when a file does not exist.
        ValueError: when ``count`` is negative.
    """

    def __init__(
        self, data: Sequence[Sample], transform: Compose, seed: int, count: int, encoder: Mapping[str, Any]
    ) -> None:
        if count < 0:
            raise ValueError(f"num_views is {count}; it must be 0 or more.")
        self.transform = transform if count else _without_randomness(transform)
        self.groups = group_by_image(data)
        self.count = max(1, count)
        self.places = {
            pair["number"]: (number, index)
            for number, group in enumerate(self.groups)
            for index, pair in enumerate(group["pairs"])
        }
        read_once = cache(source_digests)  # a volume has many slices, a mask many classes
        content = [digest(describe_content(group, read_once)) for group in self.groups]
        self.seeds = [[derive_seed(seed, int(name, 16), view) for view in range(self.count)] for name in content]
        how = [describe(self.transform), seed if count else None, dict(encoder)]
        self.keys = [
            [digest(name, modification_times(group), how, view) for view in range(self.count)]
            for name, group in zip(content, self.groups, strict=True)
        ]

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.groups) * self.count

    def make(self, group: int, views: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Read and transform an image.

        Args:
            group: index of its group.
            views: indices of the views.

        Returns:
            images (V, 3, H, W), and labels (V, k, H, W), uint8 in {0, 1, 255}, of the image's k samples.
        """
        start = self.transform.get_index_of_first(lambda transform: isinstance(transform, RandomizableTrait))
        loaded = load_samples(self.transform.transforms[0], group_samples(self.groups[group]))
        read = [self.transform(sample, start=1, end=start) for sample in loaded]
        images, labels = [], []
        for view in views:
            made = [self._augmented(sample, start, self.seeds[group][view]) for sample in read]
            images.append(convert_to_tensor(made[0]["image"], track_meta=False))
            labels.append(torch.cat([convert_to_tensor(sample["label"], torch.uint8) for sample in made]))
        return torch.stack(images), torch.stack(labels)

    def _augmented(self, sample: Mapping[Hashable, Any], start: int | None, seed: int) -> Mapping[Hashable, Any]:
        if start is None:
            return sample
        self.transform.set_random_state(seed=seed)  # the same for all samples of an image
        return self.transform(deepcopy(sample), start=start)


def _without_randomness(transform: Compose) -> Compose:
    kept = [each for each in transform.flatten().transforms if not isinstance(each, RandomizableTrait)]
    return Compose(kept)
