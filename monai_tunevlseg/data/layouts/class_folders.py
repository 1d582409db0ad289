"""The form of the layout `folder` for classes that overlap: `masks/CLASS/STEM.png`, a binary mask for each class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monai_tunevlseg.data.cases import Case, MaskCoding, Sample
from monai_tunevlseg.data.layouts.files import by_stem, match, subfolders
from monai_tunevlseg.data.problems import Problem, finish, map_files

__all__ = ["class_folders", "read_class_folders"]

ReadSamples = Callable[[Path, Path, MaskCoding], list[Sample]]


def class_folders(masks: Path) -> dict[str, Path]:
    """Return the folder of each class, none where masks lie in `masks` itself.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    files, problems = by_stem(masks)
    return {} if files or problems else {folder.name: folder for folder in subfolders(masks)}


def read_class_folders(dataset_dir: Path, coding: MaskCoding, read_samples: ReadSamples) -> list[Case]:
    """List the cases: an image is a sample of the classes in whose folders it has a mask.

    Args:
        dataset_dir: the folder with `images/` and `masks/CLASS/`.
        coding: which of the classes.
        read_samples: reads the samples of an image and a mask of one class.

    Returns:
        the cases, sorted by stem; one without samples is of none of the classes.

    Raises:
        ValueError: when a class has no folder, or label values are given.
        DatasetError: when masks have no image or not its size, or a file cannot be read; it names them.
    """
    folders = class_folders(dataset_dir / "masks")
    unknown = [name for name in coding.class_names if name not in folders]
    if unknown or coding.label_values is not None:
        raise ValueError(
            f"{dataset_dir / 'masks'} has a folder of binary masks for each class: class_names may be "
            f"{', '.join(folders)}, not {', '.join(unknown) or 'those of label_values, which have no meaning here'}."
        )
    images, problems = by_stem(dataset_dir / "images")
    cases = {stem: Case(stem, []) for stem in images}
    for name in coding.class_names:
        one = MaskCoding([name], mask_threshold=coding.mask_threshold)
        for stem, samples in _read_class(dataset_dir, images, folders[name], one, read_samples, problems).items():
            cases[stem].samples.extend(samples)
    return finish(cases.values(), problems)


def _read_class(
    dataset_dir: Path,
    images: dict[str, Path],
    folder: Path,
    coding: MaskCoding,
    read_samples: ReadSamples,
    problems: list[Problem],
) -> dict[str, list[Sample]]:
    masks, strange = by_stem(folder)
    shown = {stem: images[stem] for stem in masks if stem in images}
    stems, unmatched = match(dataset_dir, shown, {stem: [mask] for stem, mask in masks.items()})

    def read(stem: str) -> tuple[str, list[Sample]]:
        return stem, read_samples(images[stem], masks[stem], coding)

    found, unreadable = map_files(read, stems, lambda stem: [images[stem], masks[stem]])
    problems += strange + unmatched + unreadable
    return dict(found)
