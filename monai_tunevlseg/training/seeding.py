"""Randomness that depends on (seed, epoch, sample) only.

A resumed run sees the augmentations of the uninterrupted run, and neither the number of loader workers nor the number
of processes changes an augmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.data import CacheDataset
from monai.transforms import Randomizable
from monai.utils import set_determinism

__all__ = ["NUMBER", "EpochSeeding", "SeededDataset", "derive_seed"]

NUMBER = "number"
"""Key of a loaded sample's index in its dataset."""


def derive_seed(*numbers: int) -> int:
    """Mix non-negative numbers into one seed in [0, 2**32)."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class SeededDataset(CacheDataset):
    """MONAI's ``CacheDataset`` whose random transforms are seeded for each sample from (seed, epoch, index).

    Items that are dictionaries have the index as ``number``.

    Args:
        data: the samples, dictionaries.
        transform: deterministic transforms first, so that they can be cached.
        seed: random seed of the run, 0 or more.
        cache_rate: share of the samples kept in memory after their deterministic transforms, in [0, 1].
        complete: turns ``data`` into samples with texts; called only when a sample has no ``text``.

    Raises:
        ValueError: when ``cache_rate`` is out of range.
    """

    def __init__(
        self,
        data: Sequence,
        transform: Sequence[Callable] | Callable,
        seed: int = 0,
        cache_rate: float = 0.0,
        complete: Callable[[Sequence], Sequence] | None = None,
    ) -> None:
        if not 0 <= cache_rate <= 1:
            raise ValueError(f"cache_rate is {cache_rate}; it must be a share in 0..1.")
        if complete is not None and any("text" not in sample for sample in data):
            data = complete(data)
        super().__init__(data=data, transform=transform, cache_rate=cache_rate, progress=False)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next samples, before the loader's workers start."""
        self.epoch = epoch

    def _transform(self, index: int) -> Any:
        """Seed the transforms for this sample, apply them, and add its number."""
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=derive_seed(self.seed, self.epoch, index))
        item = super()._transform(index)
        return {**item, NUMBER: index} if isinstance(item, Mapping) else item


class EpochSeeding:
    """Seeds the random generators and the dataset at the start of each epoch, before the loader's iterator exists.

    Attach it to the trainer. The order of the samples is the sampler's: MONAI's trainer sets the epoch of a
    ``DistributedSampler``.

    Args:
        seed: random seed of the run, 0 or more.
        dataset: the training dataset.
        rank: rank of this process, so that dropout differs between processes.
    """

    def __init__(self, seed: int, dataset: SeededDataset, rank: int = 0) -> None:
        self.seed = seed
        self.dataset = dataset
        self.rank = rank

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed the generators of Python, NumPy and PyTorch for the epoch that starts."""
        set_determinism(seed=derive_seed(self.seed, engine.state.epoch, self.rank))
        self.dataset.set_epoch(engine.state.epoch)
