"""One file for each layout of a dataset's folder; importing this package registers them all."""

from monai_tunevlseg.data.layouts import annotations, chexlocalize, cityscapes, folder, pascal_voc

__all__ = ["annotations", "chexlocalize", "cityscapes", "folder", "pascal_voc"]
