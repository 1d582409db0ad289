"""The layouts `polypgen` and `polypgen_c1` to `polypgen_c6`: the single frames of PolypGen, all or of one center.

As its owner distributes it, `data_C1/images_C1/NAME.jpg` and `data_C1/masks_C1/NAME_mask.jpg`, and the same for the
centers 2 to 6. A single center's folder (`data_C1`) can be given, too. Boxes, `sequenceData/` and
`imagesAll_positive/` are not read. Masks are JPEGs, some of them empty: values of 128 and more are foreground.

In `polypgen`, center 6 is the test split, as in the owner's benchmark, where it is the unseen hospital. The number at
the beginning of names from the centers 1 and 4 is taken for the patient; names from other centers do not tell patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_around_test
from monai_tunevlseg.data.layouts._binary_masks import GRAY_EDGE, Naming, read_binary_masks
from monai_tunevlseg.data.layouts._files import find_root
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits

__all__ = ["CENTERS", "LAYOUT", "read_polypgen", "split_polypgen"]

INFO = DatasetInfo(
    title="PolypGen",
    class_names=("polyp",),
    modality="endoscopy",
    organ="colon",
    sizes=(0, 0, 0),
    license="CC BY 4.0, after registration; see the owner's terms.",
    source="https://doi.org/10.7303/syn26376615",
    reference="Ali et al., A multi-centre polyp detection and segmentation dataset for generalisability assessment, "
    "Scientific Data 10, 2023",
)
NUMBERS = range(1, 7)
UNSEEN = 6
"""The center that the owner's benchmark only tests on."""
TRAIN_TO_VAL = (9, 1, 0)
MISNAMED = {"C3_EndoCV2021_00489": "C3_EndoCV2021_00489_"}
"""The only mask whose image has another name, by the stem of its own."""
NAMING = Naming(ending="_mask", image_of=lambda stem: MISNAMED.get(stem, stem))
PATIENT = r"^(\d+OLC|\d+_endocv2021|.+)"
"""The patient of 102OLCV1_100H0006 and of 4_endocv2021_positive_34; each other frame is a group of its own."""


def read_polypgen(
    dataset_dir: Path, encoding: MaskEncoding, slice_axis: int, numbers: Sequence[int] = NUMBERS
) -> list[Case]:
    """Read the cases of the centers with these numbers whose folders exist, as `read_binary_masks` describes."""
    wanted = " or ".join(f"data_C{number}/images_C{number}/" for number in numbers)
    root = find_root(dataset_dir, lambda folder: bool(_folders(folder, numbers)), f"{wanted} (dataset polypgen)")
    return read_binary_masks(_folders(root, numbers), binary_encoding(encoding, INFO, GRAY_EDGE), NAMING)


def _folders(folder: Path, numbers: Sequence[int]) -> dict[Path, Path]:
    """Return the folders of images, each with that of its masks, of the centers in a folder."""
    centers = [(parent, number) for number in numbers for parent in (folder / f"data_C{number}", folder)]
    return {
        parent / f"images_C{number}": parent / f"masks_C{number}"
        for parent, number in centers
        if (parent / f"images_C{number}").is_dir()
    }


def split_polypgen(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    """Draw train and val from all centers but the unseen one, which is the test split.

    With only the unseen center, or without it, all splits are drawn.
    """
    test = {case.stem for case in cases if Path(case.samples[0]["image"]).parent.name == f"images_C{UNSEEN}"}
    if not 0 < len(test) < len(cases):
        return draw([case.stem for case in cases])
    return draw_around_test(test, cases, draw, shares=TRAIN_TO_VAL)


LAYOUT = Layout(read_polypgen, INFO, PATIENT, split_polypgen)
CENTERS = {
    f"c{number}": Layout(
        partial(read_polypgen, numbers=(number,)), replace(INFO, title=f"PolypGen, center {number}"), PATIENT
    )
    for number in NUMBERS
}
"""The layout of each center, by its name."""
