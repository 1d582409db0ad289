"""The layout `busbra`: BUS-BRA as its owner distributes it, `Images/bus_NNNN-V.png` and `Masks/mask_NNNN-V.png`.

NNNN is the patient, and V the view: l and r for two views of a tumor, s for a single one. `bus_data.csv` says whether
the tumor is benign or malignant; the classes are those of the layout `busi`.

The test split is the first fold of the owner's `5-fold-cv.csv`. Its val images are not used, because they divide
patients; val is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_around_test
from monai_tunevlseg.data.layouts._binary_masks import Naming
from monai_tunevlseg.data.layouts._breast_tumors import TUMORS, read_tumors
from monai_tunevlseg.data.layouts._files import find_root, has_folders
from monai_tunevlseg.data.layouts._tables import read_columns
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits

__all__ = ["LAYOUT", "read_busbra", "split_busbra"]

INFO = DatasetInfo(
    title="BUS-BRA",
    class_names=tuple(TUMORS.values()),
    modality="ultrasound",
    organ="breast",
    sizes=(0, 0, 0),
    license="CC BY 4.0.",
    source="https://doi.org/10.5281/zenodo.8231412",
    reference="Gómez-Flores et al., BUS-BRA: A breast ultrasound dataset for assessing computer-aided diagnosis "
    "systems, Medical Physics 51(4), 2024",
)
PATIENT = r"^bus_(\d+)-"
NAMING = Naming(image_of=lambda stem: stem.replace("mask_", "bus_", 1))
TRAIN_TO_VAL = (9, 1, 0)
TEST_FOLD = "1"


def read_busbra(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_tumors` describes."""
    root = _find_root(dataset_dir)
    folders = {root / "Images": root / "Masks"}
    return read_tumors(folders, encoding, INFO, root / "bus_data.csv", _read_kinds, NAMING)


def split_busbra(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    """Draw train and val from the patients outside of the owner's first fold, which is the test split.

    Without the file of the folds, or images of the first, all splits are drawn.
    """
    folds = _find_root(dataset_dir) / "5-fold-cv.csv"
    fold_of = read_columns(folds, "ID", "kFold") if folds.is_file() else {}
    test = {case.stem for case in cases if fold_of.get(case.stem) == TEST_FOLD}
    if not 0 < len(test) < len(cases):
        return draw([case.stem for case in cases])
    return draw_around_test(test, cases, draw, shares=TRAIN_TO_VAL)


def _find_root(dataset_dir: Path) -> Path:
    return find_root(dataset_dir, has_folders("Images", "Masks"), "Images/ and Masks/ (dataset busbra)")


def _read_kinds(table: Path) -> dict[str, str]:
    return read_columns(table, "ID", "Pathology")


LAYOUT = Layout(read_busbra, INFO, PATIENT, split_busbra, shown_classes_are_listed=True)
