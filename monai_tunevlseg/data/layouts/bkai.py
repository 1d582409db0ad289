"""The layout `bkai`: BKAI-IGH NeoPolyp as its owner distributes it, `train/*.jpeg` and `train_gt/*.jpeg`.

The archive nests each folder in another of its name (`train/train`); `test/` has no masks and is ignored. Masks are RGB
JPEGs with neoplastic polyps in red and others in green. Both are polyps here: the foreground is where a channel is 128
or more.
"""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_published_sizes
from monai_tunevlseg.data.layouts._binary_masks import read_binary_masks
from monai_tunevlseg.data.layouts._files import find_root, has_folders, nested_folder
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_bkai"]

INFO = DatasetInfo(
    title="BKAI-IGH NeoPolyp",
    class_names=("polyp",),
    modality="endoscopy",
    organ="colon",
    sizes=(800, 100, 100),
    license="See the owner's terms.",
    source="https://www.kaggle.com/c/bkai-igh-neopolyp",
    reference=(
        "Ngoc Lan et al., NeoUNet: Towards accurate colon polyp segmentation and neoplasm detection, Advances in "
        "Visual Computing, 2021"
    ),
)
HALF_RANGE = 128


def read_bkai(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_binary_masks` describes."""
    root = find_root(dataset_dir, has_folders("train", "train_gt"), "train/ and train_gt/ (dataset bkai)")
    return read_binary_masks(
        {nested_folder(root / "train"): nested_folder(root / "train_gt")}, binary_encoding(encoding, INFO, HALF_RANGE)
    )


LAYOUT = Layout(read_bkai, INFO, split=draw_published_sizes(*INFO.sizes))
