"""Readers and writers of pictures (PNG, JPEG, BMP, GIF, TIFF), volumes (NIfTI, MetaImage, NRRD) and masks."""
