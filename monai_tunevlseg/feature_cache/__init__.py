"""Image features of frozen networks, computed once and kept."""

from monai_tunevlseg.feature_cache.cache import FeatureCache, check_constant, is_off, open_cache
from monai_tunevlseg.feature_cache.dataset import FeatureDataset, shown
from monai_tunevlseg.feature_cache.inferer import FeatureInferer
from monai_tunevlseg.feature_cache.stores import DiskStore, FeatureStore, MemoryStore
from monai_tunevlseg.feature_cache.views import Views

__all__ = [
    "DiskStore",
    "FeatureCache",
    "FeatureDataset",
    "FeatureInferer",
    "FeatureStore",
    "MemoryStore",
    "Views",
    "check_constant",
    "is_off",
    "open_cache",
    "shown",
]
