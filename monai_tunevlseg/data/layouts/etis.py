"""The layout `etis`: ETIS-Larib as its owner distributes it, `ETIS-LaribPolypDB/N.tif` and `Ground Truth/pN.tif`.

The copy that PraNet distributes (`TestDataset/ETIS-LaribPolypDB`) has `images/N.png` and `masks/N.png` instead.

The 196 frames come from 34 sequences, and their names do not tell which. Drawn splits therefore show the same polyps in
training and test.
"""

from __future__ import annotations

import re
from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.data.layouts._binary_masks import GRAY_EDGE, Naming, read_binary_masks
from monai_tunevlseg.data.layouts._files import find_folder_pair
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_etis"]

INFO = DatasetInfo(
    title="ETIS-Larib",
    class_names=("polyp",),
    modality="endoscopy",
    organ="colon",
    sizes=(0, 0, 0),
    license="See the owner's terms.",
    source="https://polyp.grand-challenge.org/EtisLarib/",
    reference="Silva et al., Toward embedded detection of polyps in WCE images for early diagnosis of colorectal "
    "cancer, International Journal of Computer Assisted Radiology and Surgery 9(2), 2014",
)
FORMS = (
    ("ETIS-LaribPolypDB", "Ground Truth"),
    ("images", "masks"),
    ("ETIS-LaribPolypDB/images", "ETIS-LaribPolypDB/masks"),
)
NAMING = Naming(image_of=lambda stem: re.sub(r"^p(?=\d)", "", stem))


def read_etis(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_binary_masks` describes."""
    images, masks = find_folder_pair(dataset_dir, FORMS, "etis")
    return read_binary_masks({images: masks}, binary_encoding(encoding, INFO, GRAY_EDGE), NAMING)


LAYOUT = Layout(read_etis, INFO)
