"""Pairs grouped by image, so that an image is loaded and encoded once for all its texts."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import torch
from monai.transforms import Transform
from torch.utils.data import Sampler

from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.data.transforms.sample_loading import LoadImageMaskd

__all__ = [
    "ImageGroup",
    "ImageGroupBatchSampler",
    "LoadImageGroup",
    "collate_image_groups",
    "group_by_image",
    "group_samples",
    "load_samples",
]

ImageGroup: TypeAlias = dict[str, Any]
"""`image`, of a slice also `slice` and `slice_axis`, and `pairs`: the other keys of each of its samples, in order.

It may also have `absent_texts`, which the image does not show (see :func:`~monai_tunevlseg.data.with_absent_texts`),
and its pairs `compared_texts`.
"""

POSITION = ("image", "slice", "slice_axis")


def group_by_image(datalist: Sequence[Sample]) -> list[ImageGroup]:
    """Group samples by image, or by slice of a volume.

    Args:
        datalist: the samples; none is changed.

    Returns:
        the groups, in the order in which their images first appear. Each of a group's `pairs` also has `number`, the
        index of its sample in `datalist`.
    """
    groups: dict[tuple[Any, ...], ImageGroup] = {}
    for number, sample in enumerate(datalist):
        shared = {key: sample[key] for key in POSITION if key in sample}
        group = groups.setdefault(tuple(sample.get(key) for key in POSITION), shared | {"pairs": []})
        group["pairs"].append({key: value for key, value in sample.items() if key not in POSITION} | {"number": number})
    return list(groups.values())


def group_samples(group: ImageGroup) -> list[Sample]:
    """Return the samples of a group, each with its `number`."""
    position = {key: group[key] for key in POSITION if key in group}
    return [position | pair for pair in group["pairs"]]


def load_samples(load: LoadImageMaskd, samples: Iterable[Mapping[Any, Any]]) -> Iterator[dict[Hashable, Any]]:
    """Load the samples of one image; the image is read with the first one and shared by all."""
    image: dict[Any, Any] = {}
    for sample in samples:
        loaded = load({**sample, **image})
        image = {"image": loaded["image"]}
        yield loaded


class LoadImageGroup(Transform):
    """Loads the image of a group once, and the mask of each of its pairs, as `load` does for one sample."""

    def __init__(self, load: LoadImageMaskd) -> None:
        self.load = load

    def __call__(self, group: ImageGroup) -> dict[str, Any]:
        """Load one group of k pairs.

        Returns:
            `image` (3, H, W) as `LoadImageMaskd` loads it; `label`, a tensor (k, H, W), uint8 in {0, 1}, and 255 for
            ignored pixels; `full_label`, the same as an array, which is unchanged when `label` is resized; `pairs`, the
            k samples with `number`; `absent_texts`, the group's; `further_texts`, the compared texts that are neither;
            `text`, the k texts, then the absent and the further ones; `text_sets`, the `text_set` of each of the texts
            that has one.

        Raises:
            KeyError: when a sample lacks a key.
            FileNotFoundError: when a file does not exist.
            ValueError: when a file cannot be decoded or differs from its sample.
        """
        pairs = group_samples(group)
        loaded = load_samples(self.load, pairs)
        first = next(loaded)
        label = torch.empty((len(pairs), *first["label"].shape[1:]), dtype=torch.uint8)
        for index, sample in enumerate(chain([first], loaded)):
            label[index] = sample["label"].as_tensor()[0]
        absent, further = list(group.get("absent_texts", ())), _further_texts(group)
        return {
            "image": first["image"],
            "label": label,
            "full_label": label.numpy(),  # worker processes send arrays through pipes, not through scarce shared memory
            "text": [pair["text"] for pair in pairs] + absent + further,
            "pairs": pairs,
            "absent_texts": absent,
            "further_texts": further,
            "text_sets": {pair["text"]: pair["text_set"] for pair in pairs if "text_set" in pair},
        }


class ImageGroupBatchSampler(Sampler[list[int]]):
    """Batches groups with equal numbers of pairs, absent and further texts, so that a batch has one number of each.

    A batch holds at most `batch_size` texts, because texts take the memory, or one image that has more; those of the
    pairs' `text_set` count, too. The largest groups come first, so that a lack of memory shows at once. Groups of one
    size keep their order.

    Args:
        groups: groups of :func:`group_by_image`.
        batch_size: maximum number of texts in one batch, 1 or more.

    Raises:
        ValueError: when `batch_size` is less.
    """

    def __init__(self, groups: Sequence[ImageGroup], batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be 1 or more.")
        sizes: dict[tuple[int, ...], list[int]] = {}
        for index, group in enumerate(groups):
            pairs, absent, further = len(group["pairs"]), len(group.get("absent_texts", ())), len(_further_texts(group))
            averaged = sum(len({pair.get("text"), *pair.get("text_set", ())}) for pair in group["pairs"])
            sizes.setdefault((averaged + absent + further, pairs, absent, further), []).append(index)
        self.batches: list[list[int]] = []
        for size in sorted(sizes, reverse=True):
            images = max(1, batch_size // size[0])
            members = sizes[size]
            self.batches += [members[start : start + images] for start in range(0, len(members), images)]

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the indices of each batch's groups."""
        return iter(self.batches)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)


def _further_texts(group: ImageGroup) -> list[str]:
    """Return the distinct compared texts of a group's pairs that are neither their own texts nor absent texts."""
    asked = {*(pair.get("text") for pair in group["pairs"]), *group.get("absent_texts", ())}
    compared = [each["text"] for pair in group["pairs"] for each in pair.get("compared_texts", ())]
    return [text for text in dict.fromkeys(compared) if text not in asked]


def collate_image_groups(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Collate B groups of k pairs each that `LoadImageGroup` and a resizing transform have returned.

    Returns:
        `image` (B, 3, h, w) and `label` (B, k, h, w); lists of B items for all other keys, whose sizes may differ.
    """
    stacked = {key: torch.stack([torch.as_tensor(group[key]) for group in groups]) for key in ("image", "label")}
    return {key: [group[key] for group in groups] for key in groups[0] if key not in stacked} | stacked
