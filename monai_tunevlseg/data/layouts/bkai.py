"""The layout `bkai`: BKAI-IGH NeoPolyp as its owner distributes it, `train/*.jpeg` and `train_gt/*.jpeg`.

The archive has each folder in another of its name (`train/train`); `test/` comes without masks and is passed over.
Masks are RGB JPEGs: red is a neoplastic polyp, green another one, and both are polyps here: foreground is where one of
the channels is 128 or more.
"""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.cases import LAYOUTS, Case, Facts, Layout, MaskCoding
from monai_tunevlseg.data.layouts.coding import binary_coding
from monai_tunevlseg.data.layouts.files import find_root
from monai_tunevlseg.data.layouts.paired import draw_sizes, innermost, read_pairs

__all__ = ["read_bkai"]

FACTS = Facts(
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


def read_bkai(dataset_dir: Path, coding: MaskCoding, slice_axis: int) -> list[Case]:
    """List the cases; `layouts.paired.read_pairs` tells what is raised."""
    root = find_root(
        dataset_dir,
        lambda folder: (folder / "train").is_dir() and (folder / "train_gt").is_dir(),
        "train/ and train_gt/ (dataset bkai)",
    )
    return read_pairs(
        {innermost(root / "train"): innermost(root / "train_gt")}, binary_coding(coding, FACTS, HALF_RANGE)
    )


LAYOUTS.register("bkai", Layout(read_bkai, FACTS, split=draw_sizes(*FACTS.sizes)))
