"""The layout `ph2`: PH2 as its owner distributes it, a folder for each of 200 images.

`PH2 Dataset images/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp` with the lesion's mask
`PH2 Dataset images/IMD002/IMD002_lesion/IMD002_lesion.bmp`. The masks of colors (`IMD002_roi/`) are not read.
"""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.image_files import list_subfolders
from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.data.layouts._binary_masks import GRAY_EDGE, Naming, read_binary_masks
from monai_tunevlseg.data.layouts._files import find_root
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_ph2"]

INFO = DatasetInfo(
    title="PH2",
    class_names=("skin lesion",),
    modality="photography",
    organ="skin",
    sizes=(0, 0, 0),
    license="For research and education, no commercial use and no redistribution; see the owner's terms.",
    source="https://www.fc.up.pt/addi/ph2%20database.html",
    reference="Mendonça et al., PH2: A dermoscopic image database for research and benchmarking, EMBC, 2013",
)
INNER = ("PH2 Dataset images", "PH2_Dataset_images")
NAMING = Naming(ending="_lesion")


def read_ph2(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_binary_masks` describes."""
    wanted = "folders such as IMD002/IMD002_Dermoscopic_Image/ (dataset ph2)"
    root = find_root(dataset_dir, lambda folder: bool(_folders(folder)), wanted)
    return read_binary_masks(_folders(root), binary_encoding(encoding, INFO, GRAY_EDGE), NAMING)


def _folders(root: Path) -> dict[Path, Path]:
    """Return the folder of each image with that of its mask."""
    parents = [path for path in (root, *(root / name for name in INNER)) if path.is_dir()]
    images = [folder for parent in parents for folder in list_subfolders(parent)]
    found = {folder / f"{folder.name}_Dermoscopic_Image": folder / f"{folder.name}_lesion" for folder in images}
    return {image: mask for image, mask in found.items() if image.is_dir()}


LAYOUT = Layout(read_ph2, INFO)
