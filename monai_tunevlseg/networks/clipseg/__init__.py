"""CLIPSeg: loading of published checkpoints, and the tuned network."""

from monai_tunevlseg.networks.clipseg.loading import load_clipseg
from monai_tunevlseg.networks.clipseg.network import PromptTunedCLIPSeg

__all__ = ["PromptTunedCLIPSeg", "load_clipseg"]
