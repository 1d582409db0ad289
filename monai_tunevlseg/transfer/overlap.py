"""Images of a target that a run was trained on: copies, and pictures that look nearly the same.

Public datasets share images: frames of CVC-ClinicDB, for example, occur in other collections of polyps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_tunevlseg.data.checks.dataset_check import MAX_DISTANCE
from monai_tunevlseg.data.checks.duplicates import group_identical_files, group_near_duplicates
from monai_tunevlseg.data.checks.image_check import check_image

__all__ = ["Looks", "Overlap", "find_overlap", "read_looks"]

Looks = Mapping[Path, tuple[np.ndarray, np.ndarray]]
"""The perceptual hash and the fine details of each readable image, of a volume those of its middle slice."""


@dataclass(frozen=True)
class Overlap:
    """Images of a target that equal images of a training.

    Attributes:
        copies: images with the bytes of a training image.
        near_duplicates: other images that look nearly like one.
    """

    copies: tuple[Path, ...] = ()
    near_duplicates: tuple[Path, ...] = ()


def read_looks(images: Iterable[Path]) -> dict[Path, tuple[np.ndarray, np.ndarray]]:
    """Decode images on all cores, and return their looks; unreadable ones are left out."""
    distinct = list(dict.fromkeys(images))
    with ThreadPoolExecutor() as pool:
        checks = list(pool.map(lambda image: check_image(image, []), distinct))
    return {
        image: (check.bits, check.details)
        for image, check in zip(distinct, checks, strict=True)
        if check.bits is not None and check.details is not None
    }


def find_overlap(trained: Iterable[Path], tested: Iterable[Path], looks: Looks) -> Overlap:
    """Find the tested images that a training has seen.

    Args:
        trained: images of the training, of its validation too.
        tested: images to test on.
        looks: the looks of both.
    """
    seen, new = set(trained), list(dict.fromkeys(tested))
    copies = {image for image in new if image in seen}
    copies |= _beside_seen(group_identical_files([*seen, *new]), seen)
    readable = [image for image in (*sorted(seen), *(image for image in new if image not in seen)) if image in looks]
    if not readable:
        return Overlap(tuple(image for image in new if image in copies))
    bits, details = (np.stack([looks[image][part] for image in readable]) for part in (0, 1))
    groups = [[readable[number] for number in group] for group in group_near_duplicates(bits, details, MAX_DISTANCE)]
    near = _beside_seen(groups, seen) - copies
    return Overlap(tuple(image for image in new if image in copies), tuple(image for image in new if image in near))


def _beside_seen(groups: Iterable[Sequence[Path]], seen: set[Path]) -> set[Path]:
    """Return the images that are in a group with a seen one."""
    return {image for group in groups if not seen.isdisjoint(group) for image in group if image not in seen}
