"""The form of the layout `folder` for classes that overlap: `masks/CLASS/STEM.png`, a binary mask for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from monai_tunevlseg.data.cases import Case, MaskCoding, Sample
from monai_tunevlseg.data.layouts.discovery import Place, find_masks
from monai_tunevlseg.data.layouts.files import match, visible
from monai_tunevlseg.data.problems import Problem, map_files

__all__ = ["class_folders", "read_class_folders"]

ReadSamples = Callable[[Path, Path, MaskCoding], list[Sample]]


def class_folders(masks: Path) -> dict[str, Path]:
    """Return the folder of each class, none where masks lie in `masks` itself.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    entries = visible(masks)
    return {} if any(path.is_file() for path in entries) else {path.name: path for path in entries if path.is_dir()}


def read_class_folders(
    place: Place, images: Mapping[str, Path], coding: MaskCoding, read_samples: ReadSamples
) -> tuple[list[Case], list[Problem]]:
    """List the cases: an image is a sample of the classes in whose folders it has a mask.

    Args:
        place: the folder of images and that of the folders of masks.
        images: the image of each stem.
        coding: which of the classes.
        read_samples: reads the samples of an image and a mask of one class.

    Returns:
        the cases, of which one without samples is of none of the classes, and what is wrong: masks without an image or
        not of its size, files that cannot be read.

    Raises:
        ValueError: when a class has no folder, or label values are given.
    """
    folders = class_folders(place.masks)
    unknown = [name for name in coding.class_names if name not in folders]
    if unknown or coding.label_values is not None:
        raise ValueError(
            f"{place.masks} has a folder of binary masks for each class: class_names may be "
            f"{', '.join(folders)}, not {', '.join(unknown) or 'those of label_values, which have no meaning here'}."
        )
    problems: list[Problem] = []
    cases = {stem: Case(stem, []) for stem in images}
    for name in coding.class_names:
        one = replace(coding, class_names=[name])
        for stem, samples in _read_class(place, images, folders[name], one, read_samples, problems).items():
            cases[stem].samples.extend(samples)
    if images and not problems and not any(case.samples for case in cases.values()):
        message = (
            f"the folders {', '.join(coding.class_names)} of {place.masks} hold no masks; put the masks of each class "
            "there, under the names of their images."
        )
        problems.append(Problem("missing", message, (str(place.masks),)))
    return list(cases.values()), problems


def _read_class(
    place: Place,
    images: Mapping[str, Path],
    folder: Path,
    coding: MaskCoding,
    read_samples: ReadSamples,
    problems: list[Problem],
) -> dict[str, list[Sample]]:
    masks, strange = find_masks(folder, images, coding.mask_ending)
    shown = {stem: images[stem] for stem in masks if stem in images}
    stems, unmatched = match(place.images.parent, shown, {stem: [mask] for stem, mask in masks.items()})

    def read(stem: str) -> tuple[str, list[Sample]]:
        return stem, read_samples(images[stem], masks[stem], coding)

    found, unreadable = map_files(read, stems, lambda stem: [images[stem], masks[stem]])
    problems += strange + unmatched + unreadable
    return dict(found)
