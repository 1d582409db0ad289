"""Datasets as MONAI datalists, and the transforms that load, augment and save their samples."""

from monai_tunevlseg.data.cases import LAYOUTS, Case, Facts, Layout, MaskCoding, Sample
from monai_tunevlseg.data.datalists import build_datalists, build_inference_datalist
from monai_tunevlseg.data.grouping import GroupBatchSampler, LoadGroup, collate_groups, group_by_image
from monai_tunevlseg.data.masks import IGNORED
from monai_tunevlseg.data.resizing import ResizeSampled
from monai_tunevlseg.data.saving import SavePredictiond
from monai_tunevlseg.data.serving import CompletePairs, ForMONAILabeld
from monai_tunevlseg.data.transforms import Augmentd, LabelMapd, LoadSampled
from monai_tunevlseg.data.unreadable import SkippingDataset
from monai_tunevlseg.data.windows import with_windows

__all__ = [
    "IGNORED",
    "LAYOUTS",
    "Augmentd",
    "Case",
    "CompletePairs",
    "Facts",
    "ForMONAILabeld",
    "GroupBatchSampler",
    "LabelMapd",
    "Layout",
    "LoadGroup",
    "LoadSampled",
    "MaskCoding",
    "ResizeSampled",
    "Sample",
    "SavePredictiond",
    "SkippingDataset",
    "build_datalists",
    "build_inference_datalist",
    "collate_groups",
    "group_by_image",
    "with_windows",
]
