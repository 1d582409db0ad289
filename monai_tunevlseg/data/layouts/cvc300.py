"""The layout `cvc300`: CVC-300 as the literature uses it, the 60 frames 149 to 208 of EndoScene's test split.

EndoScene, as its owner distributes it, holds them among all 300 frames of CVC-ColonDB, as `CVC-300/bbdd/N.bmp` with the
polyps' masks `CVC-300/gtpolyp/N.bmp`; the other frames, the other masks and `CVC-612/` are not read. PraNet distributes
the 60 frames alone (`TestDataset/CVC-300`), as `images/N.png` and `masks/N.png`.

The frames are from a few patients, and their names do not tell which. Drawn splits therefore show the same polyps in
training and test.
"""

from __future__ import annotations

import re
from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.data.layouts._binary_masks import GRAY_EDGE, SAME_NAMES, Naming, read_binary_masks
from monai_tunevlseg.data.layouts._files import find_folder_pair
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_cvc300"]

INFO = DatasetInfo(
    title="CVC-300",
    class_names=("polyp",),
    modality="endoscopy",
    organ="colon",
    sizes=(0, 0, 0),
    license="After registration; see the owner's terms.",
    source="https://pages.cvc.uab.es/CVC-Colon/index.php/databases/",
    reference="Vázquez et al., A benchmark for endoluminal scene segmentation of colonoscopy images, Journal of "
    "Healthcare Engineering, 2017",
)
ENDOSCENE = "bbdd"
"""EndoScene's folder of images, beside folders of masks."""
FORMS = tuple(
    (f"{folder}{images}", f"{folder}{masks}")
    for images, masks in ((ENDOSCENE, "gtpolyp"), ("images", "masks"))
    for folder in ("CVC-300/", "")
)
TEST_FRAMES = range(149, 209)
"""Frames of EndoScene's test split; those of its train and val splits are from other patients."""
OTHER_FRAMES = re.compile(rf"(?!(?:{'|'.join(map(str, TEST_FRAMES))})\.)\d+\..*")
ENDOSCENES_NAMES = Naming(skipped_images=OTHER_FRAMES, skipped_masks=OTHER_FRAMES)


def read_cvc300(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_binary_masks` describes."""
    images, masks = find_folder_pair(dataset_dir, FORMS, "cvc300")
    naming = ENDOSCENES_NAMES if images.name == ENDOSCENE else SAME_NAMES
    return read_binary_masks({images: masks}, binary_encoding(encoding, INFO, GRAY_EDGE), naming)


LAYOUT = Layout(read_cvc300, INFO)
