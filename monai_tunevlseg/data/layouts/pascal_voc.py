"""The layout `pascal_voc`: PASCAL VOC 2012 as its owner distributes it.

`VOC2012/JPEGImages/*.jpg`, `SegmentationClass/*.png` (palette indices 1..20 are the classes, 255 marks contours and
difficult objects that are neither foreground nor background) and the lists `ImageSets/Segmentation/{train,val}.txt`
of the segmented pictures. The owner's val list is the test split, as in the paper; its train list is divided
into train and val. dataset_dir is `VOC2012`, `VOCdevkit` or the folder around that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_around_test
from monai_tunevlseg.data.layouts._files import file_inside, find_root, has_folders, read_names
from monai_tunevlseg.data.layouts._label_maps import read_label_maps
from monai_tunevlseg.data.layouts._mask_encodings import label_map_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits

__all__ = ["LAYOUT", "read_pascal_voc"]

INFO = DatasetInfo(
    title="PASCAL VOC 2012",
    class_names=(
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "dining table",
        "dog",
        "horse",
        "motorbike",
        "person",
        "potted plant",
        "sheep",
        "sofa",
        "train",
        "tv monitor",
    ),
    modality="photography",
    organ="none",
    sizes=(2170, 0, 2148),
    license="Images are from Flickr, under its terms of use; see the owner's terms.",
    source="https://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    reference="Everingham et al., The PASCAL Visual Object Classes (VOC) Challenge, IJCV 2010",
)
VALUES = {name: value for value, name in enumerate(INFO.class_names, start=1)}
CONTOUR = 255
FOLDERS = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
TRAIN_TO_VAL = (9, 1, 0)


def read_pascal_voc(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases of the pictures in the owner's lists (see `ReadCases`): one sample for each present class."""
    root = _find_root(dataset_dir)
    stems = sorted({*_read_list(root, "train"), *_read_list(root, "val")})
    lists = root / "ImageSets" / "Segmentation"
    images = {stem: file_inside(root / "JPEGImages", f"{stem}.jpg", lists) for stem in stems}
    masks = {stem: file_inside(root / "SegmentationClass", f"{stem}.png", lists) for stem in stems}
    chosen = label_map_encoding(encoding, INFO, VALUES)
    return read_label_maps(root, images, masks, chosen, (), VALUES.values(), CONTOUR)


def _split(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    held_out = set(_read_list(_find_root(dataset_dir), "val"))
    return draw_around_test(held_out, cases, draw, shares=TRAIN_TO_VAL)


LAYOUT = Layout(read_pascal_voc, INFO, split=_split)


def _find_root(dataset_dir: Path) -> Path:
    kit = dataset_dir / "VOCdevkit"
    wanted = f"the folders {', '.join(FOLDERS)} (dataset pascal_voc)"
    return find_root(kit if kit.is_dir() else dataset_dir, has_folders(*FOLDERS), wanted)


def _read_list(root: Path, name: str) -> list[str]:
    path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
    if not path.is_file():
        raise FileNotFoundError(f"no list {path} of the segmented pictures; unpack the dataset again.")
    return read_names(path)
