"""The layout `dfu`: DFUC2022 as its owner distributes it, `DFUC2022_train_images` and `DFUC2022_train_masks`.

The folders may also be called `images` and `masks`, or `images` and `labels`. The owner's validation and test images
have no masks and are not read.
"""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_published_sizes
from monai_tunevlseg.data.layouts._binary_masks import read_binary_masks
from monai_tunevlseg.data.layouts._files import find_folder_pair
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_dfu"]

INFO = DatasetInfo(
    title="DFUC2022",
    class_names=("foot ulcer",),
    modality="photography",
    organ="foot",
    sizes=(1600, 200, 200),
    license="On request to the owner; see the owner's terms.",
    source="https://dfuc2022.grand-challenge.org/dataset/",
    reference=(
        "Kendrick et al., Translating clinical delineation of diabetic foot ulcers into machine-interpretable "
        "segmentation, arXiv:2204.11618, 2022"
    ),
)
FORMS = (("images", "masks"), ("images", "labels"), ("DFUC2022_train_images", "DFUC2022_train_masks"))


def read_dfu(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_binary_masks` describes."""
    images, masks = find_folder_pair(dataset_dir, FORMS, "dfu")
    return read_binary_masks({images: masks}, binary_encoding(encoding, INFO))


LAYOUT = Layout(read_dfu, INFO, split=draw_published_sizes(*INFO.sizes))
