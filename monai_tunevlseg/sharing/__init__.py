"""Sharing: a trained pair as a bundle in the form of MONAI's Model Zoo, checked, packed and exported."""

from monai_tunevlseg.sharing.subject import Release, Sources, Subject, describe
from monai_tunevlseg.sharing.writing import write_bundle, write_subject

__all__ = ["Release", "Sources", "Subject", "describe", "write_bundle", "write_subject"]
