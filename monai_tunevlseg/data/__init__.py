"""Datasets as MONAI datalists, and the transforms that load, augment and save their samples."""

from monai_tunevlseg.data.cases import LAYOUTS, Case, Facts, Layout, MaskCoding, Sample
from monai_tunevlseg.data.datalists import build_datalists, build_inference_datalist
from monai_tunevlseg.data.saving import SavePredictiond
from monai_tunevlseg.data.transforms import Augmentd, LabelMapd, LoadSampled

__all__ = [
    "LAYOUTS",
    "Augmentd",
    "Case",
    "Facts",
    "LabelMapd",
    "Layout",
    "LoadSampled",
    "MaskCoding",
    "Sample",
    "SavePredictiond",
    "build_datalists",
    "build_inference_datalist",
]
