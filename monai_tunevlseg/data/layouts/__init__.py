"""One file for each layout of a dataset's folder; importing this package registers them all."""

from monai_tunevlseg.data.layouts import (
    annotations,
    bkai,
    busi,
    camus,
    chexlocalize,
    cityscapes,
    clinicdb,
    dfu,
    folder,
    isic,
    kvasir,
    pascal_voc,
)

__all__ = [
    "annotations",
    "bkai",
    "busi",
    "camus",
    "chexlocalize",
    "cityscapes",
    "clinicdb",
    "dfu",
    "folder",
    "isic",
    "kvasir",
    "pascal_voc",
]
