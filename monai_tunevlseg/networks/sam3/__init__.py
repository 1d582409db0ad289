"""SAM 3 and SAM 3 LiteText: loading of published checkpoints, and the tuned network."""

from monai_tunevlseg.networks.sam3.loading import load_sam3
from monai_tunevlseg.networks.sam3.network import PromptTunedSAM3

__all__ = ["PromptTunedSAM3", "load_sam3"]
