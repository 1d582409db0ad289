"""The cache of the features that the frozen image encoder of a network computes."""

from __future__ import annotations

import hashlib
import logging
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from monai_tunevlseg.feature_cache.keys import describe, digest
from monai_tunevlseg.feature_cache.stores import CachedTensors, DiskStore, FeatureStore, MemoryStore
from monai_tunevlseg.feature_cache.views import Views
from monai_tunevlseg.methods import Adapter
from monai_tunevlseg.networks import ImageFeatures, PromptTunedNetwork, SegmentationNetwork
from monai_tunevlseg.version import __version__

__all__ = ["FeatureCache", "check_constant", "is_off", "open_cache"]

LABEL = "label"
OFF_VALUES = (None, False, "off", "false", "False", "null", "None")  # YAML reads a bare off as False

logger = logging.getLogger(__name__)


def open_cache(
    network: SegmentationNetwork,
    kind: str | bool | None,
    directory: str | Path,
    max_gibibytes: float,
    amp: bool = False,
    num_workers: int = 0,
) -> FeatureCache | None:
    """Open a bundle's feature cache.

    Args:
        network: the network that encodes.
        kind: ``off``, ``memory`` or ``disk``.
        directory: folder of the files of ``disk``.
        max_gibibytes: maximum size in memory or on disk, in GiB.
        amp: whether to encode under ``torch.autocast``.
        num_workers: loader processes that read and augment images for the cache.

    Returns:
        None if ``kind`` is off.

    Raises:
        ValueError: when ``kind`` or a number is out of range, or the network's image features are not constant.
    """
    if is_off(kind):
        return None
    if kind not in ("memory", "disk"):
        raise ValueError(f"feature_cache is {kind!r}; it must be off, memory or disk.")
    if not 0 < max_gibibytes < math.inf:
        raise ValueError(f"feature_cache_size is {max_gibibytes}; it must be a finite number of GiB above 0.")
    encoder = check_constant(network)
    max_bytes = int(max_gibibytes * 2**30)
    store = MemoryStore(max_bytes) if kind == "memory" else DiskStore(directory, max_bytes)
    return FeatureCache(encoder, store, amp, num_workers)


def is_off(kind: str | bool | None) -> bool:
    """Return whether a value of ``feature_cache`` means no cache."""
    return kind in OFF_VALUES


def check_constant(network: SegmentationNetwork) -> PromptTunedNetwork:
    """Return a network whose image features are constant during training.

    Raises:
        ValueError: when they change; names the network, or the method and the unfrozen part.
    """
    if not isinstance(network, PromptTunedNetwork):
        raise ValueError(
            f"{type(network).__name__} is trained from scratch, so that the features of images change in training; set "
            "feature_cache to off."
        )
    if not network.trained.image_is_constant:
        constant = (
            "adapted_parts without vision, such as [text]"
            if isinstance(network.method, Adapter)
            else "a method that does not change the vision encoder, such as coop"
        )
        raise ValueError(
            f"image features change during training with the method {network.method_name!r} and unfreeze "
            f"{network.unfreeze!r}; set feature_cache to off, or choose unfreeze null and {constant}."
        )
    return network


class FeatureCache:
    """Returns the features of images, and with views their labels; encodes those that are not in the store.

    Args:
        network: the network that encodes; the parameters that its ``encode_image`` depends on must not change.
        store: the store of the features.
        amp: whether to encode under ``torch.autocast``.
        num_workers: loader processes of :meth:`fill`.
    """

    def __init__(
        self, network: PromptTunedNetwork, store: FeatureStore, amp: bool = False, num_workers: int = 0
    ) -> None:
        self.network = network
        self.store = store
        self.amp = amp
        self.num_workers = num_workers
        self._trained = _describe_trained(network)
        self._warned = False

    @property
    def encoder(self) -> dict[str, Any]:
        """All that features depend on besides the image, as values for JSON."""
        device = next(self.network.base.parameters()).device
        types = {str(parameter.dtype) for parameter in self.network.base.parameters()}
        method = self.network.method
        return {
            "version": __version__,
            "network": type(self.network).__name__,
            "base": self.network.base_fingerprint,
            "embedding": method is not None and method.image_conditioned,
            "precision": [" ".join(sorted(types)), device.type, self.amp],
            **self._trained,
        }

    def get(self, views: Views, group: int, view: int) -> CachedTensors:
        """Return a view's features and, under ``label``, the masks (k, H, W) of its image's k samples."""
        key = views.keys[group][view]
        entry = self.store.get(key)
        if entry is None:
            images, (label,) = views.make(group, [view])
            entry = self._encode(images)[0] | {LABEL: label}
            self._put(key, entry)
        return entry

    def encode(self, images: Tensor) -> ImageFeatures:
        """Return the features of images (B, 3, H, W), which are looked up by their pixel values."""
        encoder = self.encoder
        contents = [image.cpu().contiguous() for image in images]
        keys = [digest(encoder, image.shape, hashlib.sha256(image.numpy().data).hexdigest()) for image in contents]
        found = {key: entry for key in keys if (entry := self.store.get(key)) is not None}
        if missing := [row for row, key in enumerate(keys) if key not in found]:
            for row, entry in zip(missing, self._encode(images[missing]), strict=True):
                self._put(keys[row], entry)
                found[keys[row]] = entry
        features: ImageFeatures = default_collate([ImageFeatures(found[key]) for key in keys])
        return features.to(images.device)

    def fill(self, views: Views) -> None:
        """Encode all missing views until the store is full."""
        missing = [
            (group, [view for view, key in enumerate(keys) if key not in self.store])
            for group, keys in enumerate(views.keys)
        ]
        missing = [(group, wanted) for group, wanted in missing if wanted]
        if not missing:
            return
        started, count = time.monotonic(), sum(len(wanted) for _, wanted in missing)
        logger.info(f"encoding {count} of {len(views)} views of {len(views.groups)} images for the feature cache")
        if isinstance(self.store, DiskStore):
            # processes that fill one folder at the same time rarely encode the same views
            random.Random().shuffle(missing)
        for group, wanted, images, labels in _read(views, missing, self.num_workers):
            if not self._fill_group(views.keys[group], wanted, images, labels):
                break
        logger.info(f"encoding took {time.monotonic() - started:.1f} s")

    def _fill_group(self, keys: list[str], wanted: list[int], images: Tensor, labels: Tensor) -> bool:
        """Encode an image's views, except those that another process has added; return whether there was room."""
        rows = [row for row, view in enumerate(wanted) if keys[view] not in self.store]
        if not rows:
            return True
        entries = [entry | {LABEL: labels[row]} for row, entry in zip(rows, self._encode(images[rows]), strict=True)]
        return all(self._put(keys[wanted[row]], entry) for row, entry in zip(rows, entries, strict=True))

    def _encode(self, images: Tensor) -> list[CachedTensors]:
        device = next(self.network.base.parameters()).device
        # the features outlive the inference mode of the caller
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=self.amp):
            features = self.network.encode_image(images.to(device))
        kept = features.to("cpu")
        return [{name: value[row] for name, value in kept.items()} for row in range(len(images))]

    def _put(self, key: str, entry: CachedTensors) -> bool:
        kept = self.store.put(key, entry)
        if not kept and not self._warned:
            self._warned = True
            logger.warning(
                "the feature cache is full: views that do not fit are encoded again in each epoch; raise "
                "feature_cache_size, lower num_views, or set feature_cache to disk."
            )
        return kept


def _describe_trained(network: PromptTunedNetwork) -> dict[str, Any]:
    """Describe the trained parameters if image features depend on them; empty otherwise."""
    if network.trained.image_is_constant:
        return {}
    return {"trained": digest(describe({name: value.cpu() for name, value in network.state_dict().items()}))}


class _Missing(Dataset):
    """Missing views, made in loader processes."""

    def __init__(self, views: Views, missing: list[tuple[int, list[int]]]) -> None:
        self.views = views
        self.missing = missing

    def __len__(self) -> int:
        return len(self.missing)

    def __getitem__(self, index: int) -> tuple[int, list[int], Tensor, Tensor]:
        group, wanted = self.missing[index]
        return (group, wanted, *self.views.make(group, wanted))


def _read(
    views: Views, missing: list[tuple[int, list[int]]], num_workers: int
) -> Iterator[tuple[int, list[int], Tensor, Tensor]]:
    # its own generator, because a loader draws a number from the global one, which belongs to the training
    generator = torch.Generator().manual_seed(0)
    yield from DataLoader(_Missing(views, missing), batch_size=None, num_workers=num_workers, generator=generator)
