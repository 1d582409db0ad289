"""The layout `camus`: CAMUS as its owner distributes it, a folder for each patient.

`patientXXXX/patientXXXX_{2CH,4CH}_{ED,ES}.nii.gz` and `_gt.nii.gz`, in `database_nifti/`, or the older `.mhd` with its
`.raw` or `.zraw`, in `training/`. The sequences of frames in between are not read. `database_split/` beside the
patients has the owner's splits.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.data.image_files import index_by_stem, list_subfolders
from monai_tunevlseg.data.io.mask_values import distinct_values, to_label_map
from monai_tunevlseg.data.io.reading import read_shape, read_stored_mask
from monai_tunevlseg.data.issues import DatasetIssue, map_files, size_issue, sorted_or_raise
from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.data.layouts._files import find_root, read_names
from monai_tunevlseg.data.layouts._mask_encodings import label_map_encoding
from monai_tunevlseg.data.layouts._pairing import pair_masks_by_name
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import SPLIT_NAMES, Case, Splits
from monai_tunevlseg.data.splits import DrawSplits
from monai_tunevlseg.messages import shorten

__all__ = ["LAYOUT", "read_camus", "split_camus"]

LABEL_VALUES = {"left ventricular cavity": 1, "myocardium": 2, "left atrium cavity": 3}
INFO = DatasetInfo(
    title="CAMUS",
    class_names=("myocardium", "left ventricular cavity", "left atrium cavity"),
    modality="ultrasound",
    organ="heart",
    sizes=(4800, 600, 600),
    license="CC BY-NC-SA 4.0, for non-commercial research.",
    source="https://www.creatis.insa-lyon.fr/Challenge/camus/",
    reference=(
        "Leclerc et al., Deep learning for segmentation using an open large-scale dataset in 2D echocardiography, IEEE "
        "Transactions on Medical Imaging 38(9), 2019"
    ),
)
PATIENTS = (400, 50, 50)
LISTS = ("subgroup_training.txt", "subgroup_validation.txt", "subgroup_testing.txt")
FRAME = re.compile(r"(?P<image>(?P<patient>patient\d+)_[24]CH_E[DS])(?P<mask>_gt)?")
IGNORED = re.compile(r"Info_[24]CH\.cfg|patient\d+_[24]CH_(half_)?sequence(_gt)?\..*")


def read_camus(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases (see `ReadCases`): one for each view of each patient at each time; every mask is read once.

    Given label values override those of the dataset. A last axis of length 1 is allowed.
    """
    chosen = label_map_encoding(encoding, INFO, LABEL_VALUES)
    known = set(LABEL_VALUES.values()) if encoding.label_values is None else None
    images: dict[str, Path] = {}
    masks: dict[str, list[Path]] = {}
    issues: list[DatasetIssue] = []
    root = _find_root(dataset_dir)
    for patient in _patients(root):
        issues += _sort_files(patient, images, masks)
    stems, unmatched = pair_masks_by_name(root, images, masks)

    def read(stem: str) -> Case | DatasetIssue:
        return _read_frame(stem, images[stem], masks[stem][0], chosen, known)

    cases, unreadable = map_files(read, stems, lambda stem: [images[stem], masks[stem][0]])
    return sorted_or_raise(cases, issues + unmatched + unreadable)


def split_camus(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    """Return the splits of the owner's lists of patients, or draw 400/50/50 patients without lists.

    Raises:
        FileNotFoundError: when one of the lists is missing.
    """
    folder = _find_lists(dataset_dir)
    if folder is None:
        return draw([case.stem for case in cases], sizes=PATIENTS)
    listed = {name: _read_list(folder / file) for name, file in zip(SPLIT_NAMES, LISTS, strict=True)}
    of_patient: dict[str, list[str]] = {}
    for case in cases:
        of_patient.setdefault(case.stem.split("_")[0], []).append(case.stem)
    patients = set().union(*listed.values())
    for complaint, names in {
        "does not list": sorted(of_patient.keys() - patients),
        "lists, but the dataset lacks,": sorted(patients - of_patient.keys()),
    }.items():
        if names:
            warnings.warn(f"{folder} {complaint} {len(names)} patients: {shorten(names)}.", stacklevel=2)
    return {name: [stem for patient in names for stem in of_patient.get(patient, [])] for name, names in listed.items()}


def _patients(folder: Path) -> list[Path]:
    return [path for path in list_subfolders(folder) if path.name.startswith("patient")]


def _find_root(dataset_dir: Path) -> Path:
    """Find the folder with the patients."""
    outer = find_root(dataset_dir, lambda folder: bool(_forms(folder)), "folders of patients (dataset camus)")
    root = _forms(outer)[0]
    if root.name == "training" and (outer / "testing").is_dir():
        warnings.warn(
            f"{outer / 'testing'} is ignored: it has no masks, and its patients have the same names.",
            stacklevel=2,
        )
    return root


def _forms(folder: Path) -> list[Path]:
    forms = [folder / name for name in (".", "database_nifti", "training")]
    return [form for form in forms if form.is_dir() and _patients(form)]


def _find_lists(dataset_dir: Path) -> Path | None:
    root = _find_root(dataset_dir)
    folders = [folder / "database_split" for folder in (root, root.parent, dataset_dir)]
    return next((folder for folder in folders if folder.is_dir()), None)


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; unpack the dataset again, or give a splits_file.")
    return read_names(path)


def _sort_files(patient: Path, images: dict[str, Path], masks: dict[str, list[Path]]) -> list[DatasetIssue]:
    """Sort the files of a patient's folder into images and masks, and return the issues of other files."""
    files, issues = index_by_stem(patient, ignored=IGNORED)
    unexpected = []
    for stem, path in files.items():
        frame = FRAME.fullmatch(stem)
        if frame is None or frame["patient"] != patient.name:
            unexpected.append(path)
        elif frame["mask"]:
            masks[frame["image"]] = [path]
        else:
            images[frame["image"]] = path
    if unexpected:
        names = shorten(path.name for path in unexpected)
        message = f"{patient} holds files that do not belong to CAMUS: {names}; remove them."
        issues.append(DatasetIssue("extra", message, tuple(map(str, unexpected))))
    return issues


def _read_frame(
    stem: str, image: Path, mask: Path, encoding: MaskEncoding, known: set[int] | None
) -> Case | DatasetIssue:
    """Read a mask; `known` are its allowed values in addition to 0, None = any."""
    values = to_label_map(read_stored_mask(mask), mask)
    shape = values.shape
    if (size := read_shape(image)) != shape:
        return size_issue(image, size, mask, shape)
    if shape[2:] not in ((), (1,)):
        message = f"{mask} has the size {' x '.join(map(str, shape))}, but one picture is expected; replace the file."
        return DatasetIssue("size", message, (str(image), str(mask)))
    present = set(distinct_values(values).tolist())
    unexpected = sorted(present - {0, *known}) if known is not None else []
    if unexpected:
        message = (
            f"{mask} holds the label values {shorten(unexpected)}, which are not classes of CAMUS; replace the file."
        )
        return DatasetIssue("encoding", message, (str(mask),))
    position = {"slice": 0, "slice_axis": 2} if len(shape) == 3 else {}
    shown = [name for name, value in encoding.values.items() if value in present]
    return Case(stem, [encoding.sample(image, mask, name, **position) for name in shown])


LAYOUT = Layout(read_camus, INFO, r"^(patient\d+)_", split_camus)
