"""The feature cache: image features of frozen encoders, computed once."""

from monai_tunevlseg.feature_cache.cache import FeatureCache, check_constant, is_off, open_cache
from monai_tunevlseg.feature_cache.dataset import FeatureDataset, FeatureInferer, image_for_tensorboard
from monai_tunevlseg.feature_cache.stores import DiskStore, FeatureStore, MemoryStore, RecentStore
from monai_tunevlseg.feature_cache.views import Views

__all__ = [
    "DiskStore",
    "FeatureCache",
    "FeatureDataset",
    "FeatureInferer",
    "FeatureStore",
    "MemoryStore",
    "RecentStore",
    "Views",
    "check_constant",
    "image_for_tensorboard",
    "is_off",
    "open_cache",
]
