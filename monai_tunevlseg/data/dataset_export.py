"""Writing a dataset in the uniform form that the layout `folder` reads to the same samples.

Images are copied unchanged, except that MetaImage and NRRD files become NIfTI. Masks get one of three forms, as PNG for
pictures and NIfTI for volumes:

- one class: 0/255, in `masks/`;
- several classes in one file per image, or one class with ignored pixels: label maps in `masks/`, 1 for the first class
  and so on, 255 for ignored pixels, described by a `dataset.json`;
- several classes with separate masks, which may overlap or be empty: 0/255, in a folder `masks/CLASS/` for each.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_tunevlseg.atomic_files import atomic_folder
from monai_tunevlseg.data.datalists import find_splits, read_cases
from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.io.file_suffixes import is_volume_file, suffix_of
from monai_tunevlseg.data.io.volumes import NIFTI_SUFFIXES, open_volume
from monai_tunevlseg.data.io.writing import write_mask
from monai_tunevlseg.data.issues import DatasetError, map_files
from monai_tunevlseg.data.layouts._dataset_json import write_dataset_json
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX, read_sample_mask, whole_volume
from monai_tunevlseg.data.samples import Case, Sample
from monai_tunevlseg.data.splits import write_splits
from monai_tunevlseg.messages import shorten

__all__ = ["ExportedDataset", "export_dataset"]

BINARY, LABELS, FOLDERS = "binary masks", "label maps", "a folder of binary masks for each class"


@dataclass(frozen=True)
class ExportedDataset:
    """A dataset in the uniform form.

    Args:
        folder: its folder.
        form: the form of its masks.
        class_names: the class names for the layout `folder`.
        images: the number of images.
        pairs: the number of (image, class) pairs.
    """

    folder: Path
    form: str
    class_names: tuple[str, ...]
    images: int
    pairs: int


def export_dataset(
    spec: DatasetSpec,
    output_dir: Path,
    started: Callable[[int], None] = lambda images: None,
    advanced: Callable[[], None] = lambda: None,
) -> ExportedDataset:
    """Write a dataset in the uniform form; images that show none of the classes are left out.

    Args:
        spec: the dataset, and how it is read; texts are not written, because in the uniform form they are the class
            names.
        output_dir: the folder to write atomically; it must not exist or be empty.
        started: is called with the number of images before they are written.
        advanced: is called after each image.

    Raises:
        FileExistsError: when `output_dir` exists and is not an empty folder.
        FileNotFoundError: when the dataset's folder is missing.
        ValueError: when `build_datalists` refuses the dataset, or it cannot be written in this form.
    """
    output = output_dir.expanduser().absolute()
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise FileExistsError(f"{output} exists; choose another folder.")
    cases = read_cases(spec)
    splits = find_splits(spec, cases)
    cases = [case for case in cases if case.samples]
    form, class_names = _choose_form(cases, spec.encoding().class_names)
    names = _file_names(cases)
    started(len(cases))
    with atomic_folder(output) as unfinished:
        _write_cases(cases, names, form, class_names, unfinished, advanced)
        if form == LABELS:
            ignored = any("ignore_value" in sample for case in cases for sample in case.samples)
            write_dataset_json(unfinished, class_names, IGNORE_INDEX if ignored else None)
        kept = {name: [names[stem] for stem in stems if stem in names] for name, stems in splits.items()}
        write_splits(unfinished / "splits.json", kept)
    return ExportedDataset(output, form, class_names, len(cases), sum(len(case.samples) for case in cases))


def _choose_form(cases: Sequence[Case], chosen: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Choose the form of the masks, and list the classes in the order of their values."""
    for case in cases:
        shown = [(sample["class_name"], sample.get("slice")) for sample in case.samples]
        if len(shown) != len(set(shown)):
            raise ValueError(f"{case.samples[0]['image']} has several masks of one class; unite or rename them.")
    samples = [sample for case in cases for sample in case.samples]
    class_names = tuple(dict.fromkeys((*chosen, *(sample["class_name"] for sample in samples))))
    ignored = any("ignore_value" in sample for sample in samples)
    if len(class_names) == 1 and not ignored:
        return BINARY, class_names
    if all(_is_label_map(case.samples) for case in cases) and len(class_names) < IGNORE_INDEX:
        return LABELS, class_names
    unexpected = [name for name in class_names if Path(name).name != name or name.startswith(".")]
    if unexpected or ignored:
        reason = (
            f"{shorten(unexpected)} cannot be the name of a folder" if unexpected else "binary masks ignore no pixels"
        )
        raise ValueError(f"these masks need a folder for each class, but {reason}; choose other classes.")
    return FOLDERS, class_names


def _is_label_map(samples: Sequence[Sample]) -> bool:
    files = {sample["label"] if isinstance(sample["label"], str) else None for sample in samples}
    return len(files) == 1 and None not in files and all("label_value" in sample for sample in samples)


def _file_names(cases: Sequence[Case]) -> dict[str, str]:
    names = {case.stem: case.stem.replace("/", "__").replace("\\", "__") for case in cases}
    if len(set(names.values())) != len(names):
        raise ValueError("two images would get the same name in one folder; rename them.")
    return names


def _write_cases(
    cases: Sequence[Case],
    names: dict[str, str],
    form: str,
    class_names: Sequence[str],
    folder: Path,
    advanced: Callable[[], None],
) -> None:
    (folder / "images").mkdir()
    for name in class_names if form == FOLDERS else (".",):
        (folder / "masks" / name).mkdir(parents=True)

    def write(case: Case) -> None:
        image = Path(case.samples[0]["image"])
        _write_image(image, folder / "images", names[case.stem])
        for part, mask in _masks(case, form, class_names).items():
            write_mask(mask, image, folder / "masks" / part, names[case.stem])
        advanced()

    _, issues = map_files(write, cases, lambda case: [Path(case.samples[0]["image"])])
    if issues:
        raise DatasetError(issues, [])


def _masks(case: Case, form: str, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the masks of an image by their folder in `masks/`, uint8 of the image's shape."""
    of_class = {sample["class_name"]: read_sample_mask(whole_volume(sample)) for sample in case.samples}
    if form == FOLDERS:
        return {name: mask * np.uint8(255) for name, mask in of_class.items()}
    if form == BINARY:
        return {".": of_class[class_names[0]] * np.uint8(255)}
    united = np.zeros(next(iter(of_class.values())).shape, np.uint8)
    for name, mask in of_class.items():
        united[mask == 1] = class_names.index(name) + 1
        united[mask == IGNORE_INDEX] = IGNORE_INDEX
    return {".": united}


def _write_image(image: Path, folder: Path, stem: str) -> None:
    if is_volume_file(image) and suffix_of(image).lower() not in NIFTI_SUFFIXES:
        nib.save(open_volume(image), folder / f"{stem}.nii.gz")
    else:
        shutil.copyfile(image, folder / f"{stem}{suffix_of(image)}")
