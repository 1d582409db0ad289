"""Datasets as MONAI datalists, and the transforms that load, augment and save their samples."""

from monai_tunevlseg.data.datalists import build_datalists, build_inference_datalist
from monai_tunevlseg.data.image_groups import (
    ImageGroupBatchSampler,
    LoadImageGroup,
    collate_image_groups,
    group_by_image,
)
from monai_tunevlseg.data.layouts import LAYOUTS, DatasetInfo, Layout
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.masks import IGNORED
from monai_tunevlseg.data.resizing import ResizeSampled
from monai_tunevlseg.data.samples import Case, Sample
from monai_tunevlseg.data.saving import SavePredictiond
from monai_tunevlseg.data.serving import CompletePairs, ForMONAILabeld
from monai_tunevlseg.data.skipping_dataset import SkippingDataset
from monai_tunevlseg.data.transforms import Augmentd, LabelMapd, LoadSampled
from monai_tunevlseg.data.windows import with_windows

__all__ = [
    "IGNORED",
    "LAYOUTS",
    "Augmentd",
    "Case",
    "CompletePairs",
    "DatasetInfo",
    "ForMONAILabeld",
    "ImageGroupBatchSampler",
    "LabelMapd",
    "Layout",
    "LoadImageGroup",
    "LoadSampled",
    "MaskEncoding",
    "ResizeSampled",
    "Sample",
    "SavePredictiond",
    "SkippingDataset",
    "build_datalists",
    "build_inference_datalist",
    "collate_image_groups",
    "group_by_image",
    "with_windows",
]
