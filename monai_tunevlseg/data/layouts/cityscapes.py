"""The layout `cityscapes`: Cityscapes as its owner distributes it.

`leftImg8bit/{train,val}/CITY/*_leftImg8bit.png` and `gtFine/{train,val}/CITY/*_gtFine_labelIds.png`, whose values are
the owner's label ids. The 19 classes of the owner's evaluation are foreground; all other ids are background, as in the
paper. The owner's val folder is the test split, as in the paper. Its train folder is divided into train and val. Its
test folder, whose masks are not public, is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.data.image_files import list_subfolders, list_visible
from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_around_test
from monai_tunevlseg.data.layouts._files import find_root, has_folders
from monai_tunevlseg.data.layouts._label_maps import read_label_maps
from monai_tunevlseg.data.layouts._mask_encodings import label_map_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits

__all__ = ["LAYOUT", "read_cityscapes"]

VALUES = {
    "bicycle": 33,
    "building": 11,
    "bus": 28,
    "car": 26,
    "fence": 13,
    "motorcycle": 32,
    "person": 24,
    "pole": 17,
    "rider": 25,
    "road": 7,
    "sidewalk": 8,
    "sky": 23,
    "terrain": 22,
    "traffic light": 19,
    "traffic sign": 20,
    "train": 31,
    "truck": 27,
    "vegetation": 21,
    "wall": 12,
}
"""The label ids of the owner's `labels.py`, in the order of the paper's Table 1."""

INFO = DatasetInfo(
    title="Cityscapes",
    class_names=tuple(VALUES),
    modality="photography",
    organ="none",
    sizes=(34723, 0, 6005),
    license="For non-commercial research, after registration; see the owner's terms.",
    source="https://www.cityscapes-dataset.com",
    reference="Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016",
)
IMAGE_ENDING = "_leftImg8bit.png"
MASK_ENDING = "_gtFine_labelIds.png"
PARTS = ("train", "val")
TRAIN_TO_VAL = (9, 1, 0)


def read_cityscapes(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases of the owner's train and val folders (see `ReadCases`): one sample for each present class.

    Stems are names without endings, such as `aachen_000000_000019`; `label_values` may give other ids.
    """
    chosen = label_map_encoding(encoding, INFO, VALUES)
    root = _find_root(dataset_dir)
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for part in PARTS:
        images |= _by_stem(root / "leftImg8bit" / part, IMAGE_ENDING)
        masks |= _by_stem(root / "gtFine" / part, MASK_ENDING)
    return read_label_maps(root, images, masks, chosen)


def _split(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    held_out = _by_stem(_find_root(dataset_dir) / "leftImg8bit" / "val", IMAGE_ENDING)
    return draw_around_test(held_out, cases, draw, shares=TRAIN_TO_VAL)


LAYOUT = Layout(read_cityscapes, INFO, split=_split)


def _find_root(dataset_dir: Path) -> Path:
    wanted = "the folders leftImg8bit and gtFine (dataset cityscapes)"
    return find_root(dataset_dir, has_folders("leftImg8bit", "gtFine"), wanted)


def _by_stem(folder: Path, ending: str) -> dict[str, Path]:
    files = (path for city in list_subfolders(folder) for path in list_visible(city))
    return {path.name.removesuffix(ending): path for path in files if path.name.endswith(ending)}
