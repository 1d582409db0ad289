"""The layout `clinicdb`: CVC-ClinicDB as its owner distributes it, `Original/*.tif` and `Ground Truth/*.tif`.

The two folders may lie in `TIF/` or, as PNG, in `PNG/`, as in a copy on Kaggle; `TIF/` takes precedence. The edges of
masks are gray: values of 128 and more are foreground.

The frames belong to 29 sequences. As in the paper, splits are drawn frame by frame, so that training and test show the
same polyps, of which `tunevlseg datasets check` warns; to keep sequences whole, give a splits_file.
"""

from __future__ import annotations

import bisect
from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_published_sizes
from monai_tunevlseg.data.layouts._binary_masks import GRAY_EDGE, read_binary_masks
from monai_tunevlseg.data.layouts._files import find_folder_pair
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_clinicdb", "sequence_of"]

INFO = DatasetInfo(
    title="CVC-ClinicDB",
    class_names=("polyp",),
    modality="endoscopy",
    organ="colon",
    sizes=(490, 61, 61),
    license="For research and education, no commercial use; see the owner's terms.",
    source="https://polyp.grand-challenge.org/CVCClinicDB/",
    reference=(
        "Bernal et al., WM-DOVA maps for accurate polyp highlighting in colonoscopy: Validation vs. saliency maps from "
        "physicians, Computerized Medical Imaging and Graphics 43, 2015"
    ),
)
FORMS = tuple((f"{folder}Original", f"{folder}Ground Truth") for folder in ("", "TIF/", "PNG/"))
LAST_FRAMES = (
    *(25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317),
    *(342, 363, 383, 408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612),
)
"""Last frame of each sequence, from the table in the owner's README."""


def read_clinicdb(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_binary_masks` describes."""
    images, masks = find_folder_pair(dataset_dir, FORMS, "clinicdb")
    return read_binary_masks({images: masks}, binary_encoding(encoding, INFO, GRAY_EDGE))


def sequence_of(stem: str) -> str:
    """Return the number of a frame's sequence, 1 to 29, or the stem when it is not the number of a frame."""
    if not stem.isdecimal() or not 1 <= int(stem) <= LAST_FRAMES[-1]:
        return stem
    return str(bisect.bisect_left(LAST_FRAMES, int(stem)) + 1)


LAYOUT = Layout(read_clinicdb, INFO, split=draw_published_sizes(*INFO.sizes), sequence_of=sequence_of)
