"""Datasets as MONAI datalists, and the transforms that load, augment and save their samples."""

from monai_tunevlseg.data.absent_texts import with_absent_texts
from monai_tunevlseg.data.datalists import batch_pictures, build_datalists, build_inference_datalist
from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.image_groups import (
    ImageGroupBatchSampler,
    LoadImageGroup,
    collate_image_groups,
    group_by_image,
)
from monai_tunevlseg.data.intensity_windows import with_intensity_windows
from monai_tunevlseg.data.layouts import LAYOUTS, DatasetInfo, Layout
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.monai_label_stock_app import CompletePairs, ToMONAILabelFormatd
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX
from monai_tunevlseg.data.samples import Case, Sample
from monai_tunevlseg.data.skipping_dataset import SkippingDataset
from monai_tunevlseg.data.subsets import Subset
from monai_tunevlseg.data.text_sets import read_text_sets
from monai_tunevlseg.data.transforms.augmentation import Augmentd
from monai_tunevlseg.data.transforms.label_maps import LogitsToLabelMapd
from monai_tunevlseg.data.transforms.probability_maps import SaveProbabilitiesd
from monai_tunevlseg.data.transforms.resizing import ResizeImageMaskd
from monai_tunevlseg.data.transforms.sample_loading import LoadImageMaskd
from monai_tunevlseg.data.transforms.saving import SavePredictiond

__all__ = [
    "IGNORE_INDEX",
    "LAYOUTS",
    "Augmentd",
    "Case",
    "CompletePairs",
    "DatasetInfo",
    "DatasetSpec",
    "ImageGroupBatchSampler",
    "Layout",
    "LoadImageGroup",
    "LoadImageMaskd",
    "LogitsToLabelMapd",
    "MaskEncoding",
    "ResizeImageMaskd",
    "Sample",
    "SavePredictiond",
    "SaveProbabilitiesd",
    "SkippingDataset",
    "Subset",
    "ToMONAILabelFormatd",
    "batch_pictures",
    "build_datalists",
    "build_inference_datalist",
    "collate_image_groups",
    "group_by_image",
    "read_text_sets",
    "with_absent_texts",
    "with_intensity_windows",
]
