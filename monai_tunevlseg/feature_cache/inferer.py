"""Inference that encodes an image once, however often it is segmented."""

from __future__ import annotations

from typing import Any

from monai.inferers import SimpleInferer
from torch import Tensor

from monai_tunevlseg.feature_cache.cache import FeatureCache

__all__ = ["FeatureInferer"]


class FeatureInferer(SimpleInferer):
    """MONAI's ``SimpleInferer``, whose network gets features that other runs with the same base may have left.

    Args:
        features: the cache; None = a ``SimpleInferer`` and nothing else.
    """

    def __init__(self, features: FeatureCache | None = None) -> None:
        super().__init__()
        self.features = features

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a network on images (B, 3, H, W)."""
        given = inputs if self.features is None else self.features.of_images(inputs)
        return network(given, *args, **kwargs)
