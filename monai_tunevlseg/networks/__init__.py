"""Frozen vision-language segmentation models with learnable prompts."""

from monai_tunevlseg.networks.base import PromptTunedNetwork
from monai_tunevlseg.networks.base_model import BaseModel
from monai_tunevlseg.networks.clipseg import PromptTunedCLIPSeg, load_clipseg
from monai_tunevlseg.networks.upsampler import Upsampler

__all__ = ["BaseModel", "PromptTunedCLIPSeg", "PromptTunedNetwork", "Upsampler", "load_clipseg"]
