"""The registry of dataset layouts: one file for each, and one line here."""

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
from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.registry import Registry

__all__ = ["LAYOUTS", "DatasetInfo", "Layout"]

LAYOUTS: Registry[Layout] = Registry("dataset layout")
LAYOUTS.register("annotations", annotations.LAYOUT)
LAYOUTS.register("bkai", bkai.LAYOUT)
LAYOUTS.register("busi", busi.LAYOUT)
LAYOUTS.register("camus", camus.LAYOUT)
LAYOUTS.register("chexlocalize", chexlocalize.LAYOUT)
LAYOUTS.register("cityscapes", cityscapes.LAYOUT)
LAYOUTS.register("clinicdb", clinicdb.LAYOUT)
LAYOUTS.register("dfu", dfu.LAYOUT)
LAYOUTS.register("folder", folder.LAYOUT)
LAYOUTS.register("isic", isic.LAYOUT)
LAYOUTS.register("kvasir", kvasir.LAYOUT)
LAYOUTS.register("pascal_voc", pascal_voc.LAYOUT)
