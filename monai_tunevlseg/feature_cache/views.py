"""The views of a datalist: its images, each as it is or augmented a few times, with the masks that belong to it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from monai.transforms import Compose, RandomizableTrait
from monai.utils import convert_to_tensor
from torch import Tensor

from monai_tunevlseg.data import LoadImageMaskd, group_by_image
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.feature_cache.keys import content_of, describe, digest, source_digests, times_of
from monai_tunevlseg.training.seeding import derive_seed

__all__ = ["Views"]


class Views:
    """All views of a datalist. A view is the same however often it is made: its augmentation follows from its key.

    Args:
        data: samples; those of one image share its views.
        transform: makes ``image`` (3, H, W) and ``label`` (1, H, W) of a sample.
        seed: of the random transforms, 0 or more.
        count: random views of each image; 0 = one view, without the random transforms.
        encoder: what the features also depend on, as can be written as JSON.

    Attributes:
        keys: of each group's views; (groups, views).
        places: of each sample, its group and its number there.

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
        content = [digest(content_of(group, read_once)) for group in self.groups]
        self.seeds = [[derive_seed(seed, int(name, 16), view) for view in range(self.count)] for name in content]
        how = [describe(self.transform), seed if count else None, dict(encoder)]
        self.keys = [
            [digest(name, times_of(group), how, view) for view in range(self.count)]
            for name, group in zip(content, self.groups, strict=True)
        ]

    def __len__(self) -> int:
        """Return the number of all views."""
        return len(self.groups) * self.count

    def make(self, group: int, views: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Read and transform an image.

        Args:
            group: its number.
            views: numbers of its views.

        Returns:
            images (V, 3, H, W), and labels (V, k, H, W), uint8 in {0, 1, 255}, of the image's k samples.
        """
        start = self.transform.get_index_of_first(lambda transform: isinstance(transform, RandomizableTrait))
        position = {key: value for key, value in self.groups[group].items() if key != "pairs"}
        read = [self.transform(sample, end=start) for sample in self._loaded(position, self.groups[group]["pairs"])]
        images, labels = [], []
        for view in views:
            made = [self._augmented(sample, start, self.seeds[group][view]) for sample in read]
            images.append(convert_to_tensor(made[0]["image"], track_meta=False))
            labels.append(torch.cat([convert_to_tensor(sample["label"], torch.uint8) for sample in made]))
        return torch.stack(images), torch.stack(labels)

    def _loaded(self, position: Mapping[Any, Any], pairs: Sequence[Mapping[Any, Any]]) -> list[dict[Hashable, Any]]:
        """Return an image's samples, the image read once where the first transform would read it for each."""
        samples: list[dict[Hashable, Any]] = [{**position, **pair} for pair in pairs]
        load = self.transform.transforms[0]
        if len(samples) > 1 and isinstance(load, LoadImageMaskd):
            image = load(samples[0])["image"]  # which stays as it is when it is loaded again
            samples = [sample | {"image": image} for sample in samples]
        return samples

    def _augmented(self, sample: Mapping[Hashable, Any], start: int | None, seed: int) -> Mapping[Hashable, Any]:
        if start is None:
            return sample
        self.transform.set_random_state(seed=seed)  # the same for all samples of an image
        return self.transform(deepcopy(sample), start=start)


def _without_randomness(transform: Compose) -> Compose:
    kept = [each for each in transform.flatten().transforms if not isinstance(each, RandomizableTrait)]
    return Compose(kept)
