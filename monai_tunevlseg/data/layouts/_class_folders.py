"""The form of the layout `folder` for classes that overlap: `masks/CLASS/STEM.png`, a binary mask for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from monai_tunevlseg.data.image_files import list_visible
from monai_tunevlseg.data.issues import DatasetIssue, map_files
from monai_tunevlseg.data.layouts._discovery import DatasetPart, find_masks
from monai_tunevlseg.data.layouts._pairing import pair_masks
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Sample

__all__ = ["class_folders", "read_class_folders"]

ReadSamples = Callable[[Path, Path, MaskEncoding], list[Sample]]


def class_folders(masks: Path) -> dict[str, Path]:
    """Return the folder of each class; none when masks lie in `masks` itself.

    Raises:
        FileNotFoundError: when the folder is missing.
    """
    entries = list_visible(masks)
    return {} if any(path.is_file() for path in entries) else {path.name: path for path in entries if path.is_dir()}


def read_class_folders(
    part: DatasetPart, images: Mapping[str, Path], encoding: MaskEncoding, read_samples: ReadSamples
) -> tuple[list[Case], list[DatasetIssue]]:
    """Read the cases: an image has a sample for each class in whose folder it has a mask.

    Args:
        part: the folder of images, and the folder of the classes' folders.
        images: the image of each stem.
        encoding: the requested classes.
        read_samples: reads the samples of an image and a mask of one class.

    Returns:
        the cases, which have no samples when they show none of the classes, and the issues: masks without an image or
        of another size, and unreadable files.

    Raises:
        ValueError: when a class has no folder, or label values are given.
    """
    folders = class_folders(part.masks)
    unknown = [name for name in encoding.class_names if name not in folders]
    if unknown or encoding.label_values is not None:
        raise ValueError(
            f"{part.masks} has a folder of binary masks for each class: class_names may be "
            f"{', '.join(folders)}, not {', '.join(unknown) or 'the label_values, which do not apply here'}."
        )
    issues: list[DatasetIssue] = []
    cases = {stem: Case(stem, []) for stem in images}
    for name in encoding.class_names:
        one = replace(encoding, class_names=[name])
        for stem, samples in _read_class(part, images, folders[name], one, read_samples, issues).items():
            cases[stem].samples.extend(samples)
    if images and not issues and not any(case.samples for case in cases.values()):
        message = (
            f"the folders {', '.join(encoding.class_names)} of {part.masks} hold no masks; put the masks of each "
            "class there, under the names of their images."
        )
        issues.append(DatasetIssue("missing", message, (str(part.masks),)))
    return list(cases.values()), issues


def _read_class(
    part: DatasetPart,
    images: Mapping[str, Path],
    folder: Path,
    encoding: MaskEncoding,
    read_samples: ReadSamples,
    issues: list[DatasetIssue],
) -> dict[str, list[Sample]]:
    masks, unexpected = find_masks(folder, images, encoding.mask_ending)
    shown = {stem: images[stem] for stem in masks if stem in images}
    stems, unmatched = pair_masks(part.images.parent, shown, {stem: [mask] for stem, mask in masks.items()})

    def read(stem: str) -> tuple[str, list[Sample]]:
        return stem, read_samples(images[stem], masks[stem], encoding)

    found, unreadable = map_files(read, stems, lambda stem: [images[stem], masks[stem]])
    issues += unexpected + unmatched + unreadable
    return dict(found)
