"""CRIS: the published model, its conversion and loading, and the tuned network."""

from monai_tunevlseg.networks.cris.config import CRISConfig
from monai_tunevlseg.networks.cris.loading import load_cris, save_cris
from monai_tunevlseg.networks.cris.model import CRIS
from monai_tunevlseg.networks.cris.network import PromptTunedCRIS

__all__ = ["CRIS", "CRISConfig", "PromptTunedCRIS", "load_cris", "save_cris"]
