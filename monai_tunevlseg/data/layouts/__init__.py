"""The registry of dataset layouts: one file for each, and one line here."""

from monai_tunevlseg.data.layouts import (
    annotations,
    bkai,
    busbra,
    busi,
    camus,
    chexlocalize,
    cityscapes,
    clinicdb,
    colondb,
    cvc300,
    dfu,
    etis,
    folder,
    isic,
    isic2018,
    kvasir,
    pascal_voc,
    ph2,
    polypgen,
    udiat,
)
from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.registry import Registry

__all__ = ["LAYOUTS", "DatasetInfo", "Layout"]

LAYOUTS: Registry[Layout] = Registry("dataset layout")
LAYOUTS.register("annotations", annotations.LAYOUT)
LAYOUTS.register("bkai", bkai.LAYOUT)
LAYOUTS.register("busbra", busbra.LAYOUT)
LAYOUTS.register("busi", busi.LAYOUT)
LAYOUTS.register("camus", camus.LAYOUT)
LAYOUTS.register("chexlocalize", chexlocalize.LAYOUT)
LAYOUTS.register("cityscapes", cityscapes.LAYOUT)
LAYOUTS.register("clinicdb", clinicdb.LAYOUT)
LAYOUTS.register("colondb", colondb.LAYOUT)
LAYOUTS.register("cvc300", cvc300.LAYOUT)
LAYOUTS.register("dfu", dfu.LAYOUT)
LAYOUTS.register("etis", etis.LAYOUT)
LAYOUTS.register("folder", folder.LAYOUT)
LAYOUTS.register("isic", isic.LAYOUT)
LAYOUTS.register("isic2018", isic2018.LAYOUT)
LAYOUTS.register("kvasir", kvasir.LAYOUT)
LAYOUTS.register("pascal_voc", pascal_voc.LAYOUT)
LAYOUTS.register("ph2", ph2.LAYOUT)
LAYOUTS.register("polypgen", polypgen.LAYOUT)
for center, layout in polypgen.CENTERS.items():
    LAYOUTS.register(f"polypgen_{center}", layout)
LAYOUTS.register("udiat", udiat.LAYOUT)
