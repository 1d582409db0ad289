"""From a dataset in any layout to a dataset in another form, with the same images, masks and splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from monai_tunevlseg.atomic_files import atomic_folder
from monai_tunevlseg.data.class_presence import require_classes
from monai_tunevlseg.data.datalists import find_splits, read_cases, require_samples
from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.forms import FORMS, ConvertedDataset
from monai_tunevlseg.data.forms._base import SourceDataset, image_of
from monai_tunevlseg.data.samples import Case

__all__ = ["convert_dataset"]


def convert_dataset(
    spec: DatasetSpec,
    output_dir: Path,
    form: str = "folder",
    started: Callable[[int], None] = lambda images: None,
    advanced: Callable[[], None] = lambda: None,
) -> ConvertedDataset:
    """Write a dataset in another form; images that show none of the classes or are in no split are left out.

    Args:
        spec: the dataset, and how it is read; texts are not written.
        output_dir: the folder to write atomically; it must not exist or be empty.
        form: one of `FORMS`.
        started: is called with the number of images before they are written.
        advanced: is called after each image.

    Raises:
        FileExistsError: when `output_dir` exists and is not an empty folder.
        FileNotFoundError: when the dataset's folder is missing.
        ValueError: when `build_datalists` refuses the dataset, or it cannot be written in this form.
    """
    output = output_dir.expanduser().absolute()
    FORMS[form].check_name(output)
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise FileExistsError(f"{output} exists; choose another folder.")
    source = _read_source(spec, output)
    started(len(source.cases))
    with atomic_folder(output) as unfinished:
        return FORMS[form].write(source, unfinished, advanced)


def _read_source(spec: DatasetSpec, output: Path) -> SourceDataset:
    cases = read_cases(spec)
    require_classes(spec.encoding(), cases)
    splits = find_splits(spec, cases)
    require_samples(cases, splits)
    listed = set().union(*splits.values())
    cases = [case for case in cases if case.samples and case.stem in listed]
    _check_masks(cases)
    known = {case.stem for case in cases}
    splits = {split: [stem for stem in stems if stem in known] for split, stems in splits.items()}
    found = (sample["class_name"] for case in cases for sample in case.samples)
    class_names = tuple(dict.fromkeys((*spec.encoding().class_names, *found)))
    return SourceDataset(spec, cases, splits, class_names, _file_names(cases), output)


def _check_masks(cases: Sequence[Case]) -> None:
    for case in cases:
        shown = [(sample["class_name"], sample.get("slice")) for sample in case.samples]
        if len(shown) != len(set(shown)):
            raise ValueError(f"{image_of(case)} has several masks of one class; unite or rename them.")


def _file_names(cases: Sequence[Case]) -> dict[str, str]:
    names = {case.stem: case.stem.replace("/", "__").replace("\\", "__") for case in cases}
    if len(set(names.values())) != len(names):
        raise ValueError("two images would get the same name in one folder; rename them.")
    return names
