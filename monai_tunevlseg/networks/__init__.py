"""Frozen vision-language segmentation models with learnable prompts."""

from monai_tunevlseg.networks.base import ImageFeatures, PromptTunedNetwork
from monai_tunevlseg.networks.base_model import BaseModel
from monai_tunevlseg.networks.clipseg import PromptTunedCLIPSeg
from monai_tunevlseg.networks.clipseg_folder import load_clipseg
from monai_tunevlseg.networks.compiling import compile_layers
from monai_tunevlseg.networks.cris import PromptTunedCRIS, load_cris
from monai_tunevlseg.networks.cris_config import CRISConfig
from monai_tunevlseg.networks.cris_folder import save_cris
from monai_tunevlseg.networks.cris_model import CRIS
from monai_tunevlseg.networks.image_settings import ImageSettings
from monai_tunevlseg.networks.precision import choose_precision
from monai_tunevlseg.networks.upsampler import Upsampler

__all__ = [
    "CRIS",
    "BaseModel",
    "CRISConfig",
    "ImageFeatures",
    "ImageSettings",
    "PromptTunedCLIPSeg",
    "PromptTunedCRIS",
    "PromptTunedNetwork",
    "Upsampler",
    "choose_precision",
    "compile_layers",
    "load_clipseg",
    "load_cris",
    "save_cris",
]
