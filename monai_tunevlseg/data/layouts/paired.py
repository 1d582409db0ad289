"""What layouts share whose images lie in one folder and their binary masks, of the same names, in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from monai_tunevlseg.data.cases import Case, Draw, MaskCoding, Split, Splits
from monai_tunevlseg.data.layouts.files import by_stem, match
from monai_tunevlseg.data.problems import Problem, finish

__all__ = ["draw_sizes", "innermost", "read_pairs"]


def read_pairs(folders: Mapping[Path, Path], coding: MaskCoding, ending: str = "") -> list[Case]:
    """List a case with one sample for each image, also where its mask is empty.

    Masks are only measured here and read when they are loaded.

    Args:
        folders: folders of images, and for each the folder of their masks.
        coding: one class and its binary masks.
        ending: what the stems of masks end in beyond those of their images.

    Returns:
        the cases, sorted by stem.

    Raises:
        FileNotFoundError: when a folder is missing.
        DatasetError: when images and masks do not belong together or a file cannot be read; it names them.
    """
    (name,) = coding.class_names
    cases: list[Case] = []
    problems: list[Problem] = []
    for image_folder, mask_folder in folders.items():
        images, strange_images = by_stem(image_folder)
        masks, strange_masks = by_stem(mask_folder, ending)
        stems, unmatched = match(image_folder.parent, images, {stem: [mask] for stem, mask in masks.items()})
        cases += [Case(stem, [coding.sample(images[stem], masks[stem], name)]) for stem in stems]
        problems += strange_images + strange_masks + unmatched
    if not cases and not problems:
        raise FileNotFoundError(f"there are no images in {', '.join(map(str, folders))}; unpack the dataset there.")
    return finish(cases, problems)


def innermost(folder: Path) -> Path:
    """Return the folder of the same name in a folder, which archives have, or the folder where there is none."""
    return folder / folder.name if (folder / folder.name).is_dir() else folder


def draw_sizes(train: int, val: int, test: int) -> Split:
    """Make a `Layout.split` that draws splits of the published sizes."""

    def split(dataset_dir: Path, cases: Sequence[Case], draw: Draw) -> Splits:
        return draw([case.stem for case in cases], sizes=(train, val, test))

    return split
