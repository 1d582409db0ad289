"""SAM 3: loading of published checkpoints."""

from monai_tunevlseg.networks.sam3.loading import load_sam3

__all__ = ["load_sam3"]
