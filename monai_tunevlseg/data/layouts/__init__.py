"""One file for each layout of a dataset's folder; importing this package registers them all."""

from monai_tunevlseg.data.layouts import folder

__all__ = ["folder"]
