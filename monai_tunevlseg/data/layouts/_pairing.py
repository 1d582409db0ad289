"""Pairing images with their masks by name, size and affine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from monai_tunevlseg.data.image_files import normalized
from monai_tunevlseg.data.io.file_suffixes import is_volume_file, stem_of, suffix_of
from monai_tunevlseg.data.io.pictures import exif_hint
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.volumes import same_grid
from monai_tunevlseg.data.issues import DatasetIssue, map_files
from monai_tunevlseg.messages import shorten

__all__ = ["pair_masks", "pair_masks_by_name"]


def pair_masks_by_name(
    dataset_dir: Path, images: Mapping[str, Path], masks: Mapping[str, Sequence[Path]]
) -> tuple[list[str], list[DatasetIssue]]:
    """Find the images that have masks, as `pair_masks` does, but without opening the files."""
    without_mask = [images[stem] for stem in sorted(images.keys() - masks.keys())]
    without_image = [mask for stem in sorted(masks.keys() - images.keys()) for mask in masks[stem]]
    lists = {"images without a mask": without_mask, "masks without an image": without_image}
    complaints = [f"{len(paths)} {what}: {shorten(map(stem_of, paths))}" for what, paths in lists.items() if paths]
    remedy = (
        _rename_remedy(without_mask, without_image)
        if without_image
        else "save an empty mask (all 0) for an image that shows nothing"
    )
    message = f"{dataset_dir} has {'; and '.join(complaints)}; files are paired by name: {remedy}."
    issues = [DatasetIssue("missing", message, tuple(map(str, [*without_mask, *without_image])))] if complaints else []
    return sorted(images.keys() & masks.keys()), issues


def _rename_remedy(images: Sequence[Path], masks: Sequence[Path]) -> str:
    """Return the remedy for names that differ, with an example when all images and all masks have their own ending."""
    of_image, of_mask = (_without_ending(paths) for paths in (images, masks))
    both = sorted(of_image.keys() & of_mask.keys())
    if not both:
        return "rename them to match"
    image, mask = of_image[both[0]], of_mask[both[0]]
    return f"rename them to match, such as {mask.name} to {stem_of(image)}{suffix_of(mask)}"


def _without_ending(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the files by their stems without the common ending."""
    of_stem = {normalized(stem_of(path)): path for path in paths}
    ending = os.path.commonprefix([stem[::-1] for stem in of_stem])[::-1]
    return {stem.removesuffix(ending): path for stem, path in of_stem.items()} if len(of_stem) > 1 else {}


def pair_masks(
    dataset_dir: Path, images: Mapping[str, Path], masks: Mapping[str, Sequence[Path]]
) -> tuple[list[str], list[DatasetIssue]]:
    """Find the images that have masks of their size.

    Args:
        dataset_dir: the dataset's folder, for messages.
        images: the image of each stem.
        masks: the masks of each stem, one or more.

    Returns:
        their stems, sorted, and the issues of the others: missing partners, other sizes, unreadable headers. A warning
        names the masks whose affine differs from their image's.
    """
    both, issues = pair_masks_by_name(dataset_dir, images, masks)

    def measure(stem: str) -> tuple[str, list[str]]:
        return stem, _of_another_size(images[stem], masks[stem])

    measured, unreadable = map_files(measure, both, lambda stem: [images[stem], *masks[stem]])
    wrong = [complaint for _, complaints in measured for complaint in complaints]
    if wrong:
        message = (
            f"{dataset_dir} has {len(wrong)} masks that differ from their image in size: {shorten(wrong)}; paste "
            "masks of a crop back to their place, and resize others to their image."
        )
        files = [str(path) for stem, found in measured if found for path in (images[stem], *masks[stem])]
        issues.append(DatasetIssue("size", message, tuple(files)))
    fitting = [stem for stem, complaints in measured if not complaints]
    _warn_of_geometry({stem: [(images[stem], mask) for mask in masks[stem]] for stem in fitting})
    return fitting, issues + unreadable


def _of_another_size(image: Path, masks: Iterable[Path]) -> list[str]:
    shape = read_shape(image)
    return [
        f"{mask.name} is {_size(found)} and {image.name} {_size(shape)}{exif_hint(image, shape, found)}"
        for mask, found in ((mask, read_shape(mask, image)) for mask in masks)
        if found != shape
    ]


def _warn_of_geometry(pairs: Mapping[str, Sequence[tuple[Path, Path]]]) -> None:
    moved = [stem for stem, both in pairs.items() if any(_lies_elsewhere(image, mask) for image, mask in both)]
    if moved:
        warnings.warn(
            f"the affines of {len(moved)} masks differ from those of their images: {shorten(moved)}; stored voxels are "
            "taken to match.",
            stacklevel=2,
        )


def _lies_elsewhere(image: Path, mask: Path) -> bool:
    both_volumes = is_volume_file(image) and is_volume_file(mask) and len(read_shape(image)) == 3
    return both_volumes and not same_grid(mask, image)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
