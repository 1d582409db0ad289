"""CLIPSeg: loading it as published, and tuning it."""

from monai_tunevlseg.networks.clipseg.loading import load_clipseg
from monai_tunevlseg.networks.clipseg.network import PromptTunedCLIPSeg

__all__ = ["PromptTunedCLIPSeg", "load_clipseg"]
