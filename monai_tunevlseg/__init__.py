"""Prompt tuning of frozen vision-language segmentation models for medical images, the MONAI way."""

__version__ = "0.1.0"
