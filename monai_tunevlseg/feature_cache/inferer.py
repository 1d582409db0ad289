"""Inference on cached image features."""

from __future__ import annotations

from typing import Any

from monai.inferers import SimpleInferer
from torch import Tensor

from monai_tunevlseg.feature_cache.cache import FeatureCache

__all__ = ["FeatureInferer"]


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
