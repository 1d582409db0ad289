"""The layout `colondb`: CVC-ColonDB as its owner distributes it, `N.bmp` with the polyp's mask `pN.bmp` beside it.

The owner's masks of regions without information (`sN.bmp`) and contours (`cN.bmp`) are not read. The copy that PraNet
distributes (`TestDataset/CVC-ColonDB`) has `images/N.png` and `masks/N.png` instead, and more frames: 380, not 300.

The frames belong to 15 sequences, each with one polyp, and their names do not tell which. Drawn splits therefore show
the same polyps in training and test.
"""

from __future__ import annotations

import re
from pathlib import Path

from monai_tunevlseg.data.image_files import list_visible
from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.data.layouts._binary_masks import GRAY_EDGE, SAME_NAMES, Naming, read_binary_masks
from monai_tunevlseg.data.layouts._files import find_root, has_folders
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_colondb"]

INFO = DatasetInfo(
    title="CVC-ColonDB",
    class_names=("polyp",),
    modality="endoscopy",
    organ="colon",
    sizes=(0, 0, 0),
    license="See the owner's terms.",
    source="http://mv.cvc.uab.es/projects/colon-qa/cvccolondb",
    reference="Bernal et al., Towards automatic polyp detection with a polyp appearance model, Pattern Recognition "
    "45(9), 2012",
)
COPY = ("images", "masks")
"""Folders of the copy."""
MASK = re.compile(r"p\d+\..*")
OWNERS_NAMES = Naming(
    image_of=lambda stem: stem.removeprefix("p"),
    skipped_images=re.compile(r"[pcs]\d+\..*"),
    skipped_masks=re.compile(rf"(?!{MASK.pattern}).*"),
)


def read_colondb(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_binary_masks` describes."""
    wanted = "N.bmp and pN.bmp, or images/ and masks/, in itself or in CVC-ColonDB/ (dataset colondb)"
    outer = find_root(dataset_dir, lambda folder: bool(_forms(folder)), wanted)
    root = _forms(outer)[0]
    chosen = binary_encoding(encoding, INFO, GRAY_EDGE)
    if has_folders(*COPY)(root):
        return read_binary_masks({root / COPY[0]: root / COPY[1]}, chosen, SAME_NAMES)
    return read_binary_masks({root: root}, chosen, OWNERS_NAMES)


def _forms(folder: Path) -> list[Path]:
    forms = [path for path in (folder, folder / "CVC-ColonDB") if path.is_dir()]
    return [path for path in forms if has_folders(*COPY)(path) or _has_masks(path)]


def _has_masks(folder: Path) -> bool:
    return any(MASK.fullmatch(path.name) for path in list_visible(folder))


LAYOUT = Layout(read_colondb, INFO)
