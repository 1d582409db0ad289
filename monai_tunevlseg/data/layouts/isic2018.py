"""The layout `isic2018`: ISIC 2018, task 1, as its owner distributes it.

`ISIC2018_Task1-2_Training_Input/ISIC_*.jpg` with `ISIC2018_Task1_Training_GroundTruth/*_segmentation.png`, and the same
with `Validation` and `Test` for these splits, which may be missing. The texts beside the images (`LICENSE.txt`,
`ATTRIBUTION.txt`) are not read.

The training part holds most images of ISIC 2016 (the layout `isic`), under the same names.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.data.layouts._binary_masks import Naming, read_binary_masks
from monai_tunevlseg.data.layouts._files import find_root, has_folders, nested_folder
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits, complete_splits

__all__ = ["LAYOUT", "read_isic2018", "split_isic2018"]

INFO = DatasetInfo(
    title="ISIC 2018",
    class_names=("skin lesion",),
    modality="photography",
    organ="skin",
    sizes=(0, 0, 0),
    license="See the owner's terms, and LICENSE.txt in the archives.",
    source="https://challenge.isic-archive.com/data/#2018",
    reference="Codella et al., Skin lesion analysis toward melanoma detection 2018: A challenge hosted by the "
    "International Skin Imaging Collaboration (ISIC), arXiv:1902.03368, 2019",
)
IMAGES, MASKS = "ISIC2018_Task1-2_{}_Input", "ISIC2018_Task1_{}_GroundTruth"
PARTS = {"train": "Training", "val": "Validation", "test": "Test"}
TEXTS = re.compile(r"(LICENSE|ATTRIBUTION)\.txt")
NAMING = Naming(ending="_segmentation", skipped_images=TEXTS, skipped_masks=TEXTS)


def read_isic2018(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases of the parts that are there, as `read_binary_masks` describes; the training part must be.

    A warning names a part with images but without the folder of their masks.
    """
    training = IMAGES.format(PARTS["train"])
    root = find_root(dataset_dir, has_folders(training), f"{training}/ (dataset isic2018)")
    folders: dict[Path, Path] = {}
    for split, part in PARTS.items():
        images, masks = root / IMAGES.format(part), root / MASKS.format(part)
        if split == "train" or (images.is_dir() and masks.is_dir()):
            folders[nested_folder(images)] = nested_folder(masks)
        elif images.is_dir():
            warnings.warn(f"{images} is left out, because {masks} is missing; unpack the masks there.", stacklevel=2)
    return read_binary_masks(folders, binary_encoding(encoding, INFO), NAMING)


def split_isic2018(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    """Return the owner's splits; a missing one is drawn from the training part, with a warning."""
    splits: Splits = {split: [] for split in PARTS}
    of_folder = {IMAGES.format(part): split for split, part in PARTS.items()}
    for case in cases:
        splits[of_folder[Path(case.samples[0]["image"]).parent.name]].append(case.stem)
    given = {split: stems for split, stems in splits.items() if stems}
    return complete_splits(given, draw, str(dataset_dir))


LAYOUT = Layout(read_isic2018, INFO, split=split_isic2018)
