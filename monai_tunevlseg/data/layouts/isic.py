"""The layout `isic`: ISIC 2016, part 1, as its owner distributes it.

`ISBI2016_ISIC_Part1_Training_Data/ISIC_*.jpg` with `ISBI2016_ISIC_Part1_Training_GroundTruth/*_Segmentation.png`, and
the same with `Test` for the test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_around_test
from monai_tunevlseg.data.layouts._binary_masks import Naming, read_binary_masks
from monai_tunevlseg.data.layouts._files import find_root, has_folders, nested_folder
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits

__all__ = ["LAYOUT", "read_isic", "split_isic"]

INFO = DatasetInfo(
    title="ISIC 2016",
    class_names=("skin lesion",),
    modality="photography",
    organ="skin",
    sizes=(810, 90, 379),
    license="See the owner's terms.",
    source="https://challenge.isic-archive.com/data/#2016",
    reference=(
        "Gutman et al., Skin lesion analysis toward melanoma detection: A challenge at ISBI 2016, hosted by ISIC, "
        "arXiv:1605.01397, 2016"
    ),
)
IMAGES, MASKS = "ISBI2016_ISIC_Part1_{}_Data", "ISBI2016_ISIC_Part1_{}_GroundTruth"
PARTS = ("Training", "Test")


def read_isic(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases of both parts, as `read_binary_masks` describes."""
    training = IMAGES.format("Training")
    root = find_root(dataset_dir, has_folders(training), f"{training}/ (dataset isic)")
    folders = {nested_folder(root / IMAGES.format(part)): nested_folder(root / MASKS.format(part)) for part in PARTS}
    return read_binary_masks(folders, binary_encoding(encoding, INFO), Naming(ending="_Segmentation"))


def split_isic(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    """Draw train and val from the owner's training part; the test split is the owner's."""
    test = {case.stem for case in cases if Path(case.samples[0]["image"]).parent.name == IMAGES.format("Test")}
    return draw_around_test(test, cases, draw, sizes=(*INFO.sizes[:2], 0))


LAYOUT = Layout(read_isic, INFO, split=split_isic)
