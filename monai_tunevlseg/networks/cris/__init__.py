"""CRIS: the published model, converting and loading it, and tuning it."""

from monai_tunevlseg.networks.cris.config import CRISConfig
from monai_tunevlseg.networks.cris.loading import load_cris, save_cris
from monai_tunevlseg.networks.cris.model import CRIS
from monai_tunevlseg.networks.cris.network import PromptTunedCRIS

__all__ = ["CRIS", "CRISConfig", "PromptTunedCRIS", "load_cris", "save_cris"]
