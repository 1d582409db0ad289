"""Vision-language segmentation models (VLSMs): frozen base models, tuned by a method and an upsampler."""

from monai_tunevlseg.networks.base_model import BaseModel
from monai_tunevlseg.networks.clipseg import PromptTunedCLIPSeg, load_clipseg
from monai_tunevlseg.networks.compilation import compile_layers
from monai_tunevlseg.networks.cris import CRIS, CRISConfig, PromptTunedCRIS, load_cris, save_cris
from monai_tunevlseg.networks.image_settings import ImageSettings
from monai_tunevlseg.networks.precision import choose_precision
from monai_tunevlseg.networks.prompt_tuned_network import ImageFeatures, PromptTunedNetwork
from monai_tunevlseg.networks.upsampler import Upsampler
from monai_tunevlseg.registry import Registry

__all__ = [
    "CRIS",
    "VLSMS",
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

VLSMS: Registry[type[PromptTunedNetwork]] = Registry("model")
VLSMS.register("clipseg", PromptTunedCLIPSeg)
VLSMS.register("cris", PromptTunedCRIS)
