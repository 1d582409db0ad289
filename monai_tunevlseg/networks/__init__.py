"""Vision-language segmentation models (VLSMs) with a frozen base model, and networks that read no text."""

from monai_tunevlseg.networks.base_model import BaseModel
from monai_tunevlseg.networks.clipseg import PromptTunedCLIPSeg, load_clipseg
from monai_tunevlseg.networks.compilation import compile_layers
from monai_tunevlseg.networks.cris import CRIS, CRISConfig, PromptTunedCRIS, load_cris, save_cris
from monai_tunevlseg.networks.image_only_network import ImageOnlyNetwork
from monai_tunevlseg.networks.image_settings import ImageSettings
from monai_tunevlseg.networks.precision import choose_precision
from monai_tunevlseg.networks.prompt_tuned_network import ImageFeatures, PromptTunedNetwork
from monai_tunevlseg.networks.sam3 import PromptTunedSAM3, load_sam3
from monai_tunevlseg.networks.segmentation_network import SegmentationNetwork
from monai_tunevlseg.networks.unet import UNet
from monai_tunevlseg.networks.upsampler import Upsampler
from monai_tunevlseg.registry import Registry
from monai_tunevlseg.segmentation import Segmentation

__all__ = [
    "CRIS",
    "IMAGE_ONLY_NETWORKS",
    "VLSMS",
    "BaseModel",
    "CRISConfig",
    "ImageFeatures",
    "ImageOnlyNetwork",
    "ImageSettings",
    "PromptTunedCLIPSeg",
    "PromptTunedCRIS",
    "PromptTunedNetwork",
    "PromptTunedSAM3",
    "Segmentation",
    "SegmentationNetwork",
    "UNet",
    "Upsampler",
    "choose_precision",
    "compile_layers",
    "load_clipseg",
    "load_cris",
    "load_sam3",
    "save_cris",
]

VLSMS: Registry[type[PromptTunedNetwork]] = Registry("model")
VLSMS.register("clipseg", PromptTunedCLIPSeg)
VLSMS.register("cris", PromptTunedCRIS)
VLSMS.register("sam3", PromptTunedSAM3)

IMAGE_ONLY_NETWORKS: Registry[type[ImageOnlyNetwork]] = Registry("image-only model")
IMAGE_ONLY_NETWORKS.register("unet", UNet)
