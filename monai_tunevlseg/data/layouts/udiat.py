"""The layout `udiat`: the BUS dataset B of UDIAT as its owner distributes it, `original/000001.png`, `GT/000001.png`.

`DatasetB.xlsx` says whether the tumor is benign or malignant; the classes are those of the layout `busi`. Each of the
163 images is of another woman.
"""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.data.layouts._breast_tumors import TUMORS, read_tumors
from monai_tunevlseg.data.layouts._files import find_root, has_folders
from monai_tunevlseg.data.layouts._tables import read_columns
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_udiat"]

INFO = DatasetInfo(
    title="UDIAT",
    class_names=tuple(TUMORS.values()),
    modality="ultrasound",
    organ="breast",
    sizes=(0, 0, 0),
    license="On request to the owner, for research; see the owner's terms.",
    source="https://helward.mmu.ac.uk/STAFF/M.Yap/dataset.php",
    reference="Yap et al., Automated breast ultrasound lesions detection using convolutional neural networks, IEEE "
    "Journal of Biomedical and Health Informatics 22(4), 2018",
)
DIGITS = 6


def read_udiat(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_tumors` describes."""
    root = find_root(dataset_dir, has_folders("original", "GT"), "original/ and GT/ (dataset udiat)")
    return read_tumors({root / "original": root / "GT"}, encoding, INFO, root / "DatasetB.xlsx", _read_kinds)


def _read_kinds(table: Path) -> dict[str, str]:
    return {image.zfill(DIGITS): kind for image, kind in read_columns(table, "Image", "Type").items()}


LAYOUT = Layout(read_udiat, INFO, shown_classes_are_listed=True)
