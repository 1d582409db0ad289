"""Finding what two splits share: images, their bytes, nearly the same pictures, patients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from monai_tunevlseg.data.cases import Sample, shorten
from monai_tunevlseg.data.duplicates import near_duplicates, same_bytes
from monai_tunevlseg.data.problems import Problem

__all__ = ["find_copies", "find_near_duplicates", "find_overlap"]

TOO_GOOD = "results on such splits are too good"


def find_copies(datalists: Mapping[str, Sequence[Sample]]) -> list[list[str]]:
    """Find the groups of images that have the same bytes."""
    images = dict.fromkeys(Path(image) for samples in datalists.values() for image in _images(samples))
    return [[str(path) for path in group] for group in same_bytes(path for path in images if path.is_file())]


def find_overlap(datalists: Mapping[str, Sequence[Sample]], copies: Sequence[Sequence[str]]) -> list[Problem]:
    """Find images, copies and groups such as patients that are in more than one split."""
    return [*_shared_images(datalists), *_shared_copies(datalists, copies), *_shared_groups(datalists)]


def find_near_duplicates(
    datalists: Mapping[str, Sequence[Sample]],
    copies: Sequence[Sequence[str]],
    hashes: Mapping[str, np.ndarray],
    distance: int,
) -> list[Problem]:
    """Find pictures of different splits that nearly look the same, other than copies.

    Args:
        datalists: the samples of each split.
        copies: groups of images that have the same bytes.
        hashes: the perceptual hash of each image, by path.
        distance: the most bits in which they may differ.
    """
    same = {frozenset(pair) for group in copies for pair in itertools.combinations(group, 2)}
    of_split = {
        name: {image: hashes[image] for image in _images(samples) if image in hashes}
        for name, samples in datalists.items()
    }
    problems = []
    for one, other in itertools.combinations(datalists, 2):
        for image, twin, bits in near_duplicates(of_split[one], of_split[other], distance):
            if image == twin or frozenset((image, twin)) in same:
                continue
            message = (
                f"{image} ({one}) and {twin} ({other}) look nearly the same: their hashes differ in {bits} of "
                f"{hashes[image].size} bits; look at them, and keep copies in one split."
            )
            problems.append(Problem("near-duplicate", message, (image, twin)))
    return problems


def _images(samples: Sequence[Sample]) -> dict[str, None]:
    return dict.fromkeys(sample["image"] for sample in samples)


def _shared_images(datalists: Mapping[str, Sequence[Sample]]) -> Iterator[Problem]:
    for one, other in itertools.combinations(datalists, 2):
        shared = sorted(_images(datalists[one]).keys() & _images(datalists[other]).keys())
        if shared:
            names = shorten(Path(image).name for image in shared)
            message = f"the splits {one} and {other} share {len(shared)} images: {names}; {TOO_GOOD}."
            yield Problem("overlap", message, tuple(shared))


def _shared_copies(datalists: Mapping[str, Sequence[Sample]], copies: Sequence[Sequence[str]]) -> Iterator[Problem]:
    splits_of: dict[str, set[str]] = {}
    for name, samples in datalists.items():
        for image in _images(samples):
            splits_of.setdefault(image, set()).add(name)
    for group in copies:
        if len(set().union(*(splits_of[image] for image in group))) > 1:
            named = ", ".join(f"{image} ({'/'.join(sorted(splits_of[image]))})" for image in group)
            message = f"the same bytes are in more than one split: {named}; {TOO_GOOD}."
            yield Problem("duplicate", message, tuple(group))


def _shared_groups(datalists: Mapping[str, Sequence[Sample]]) -> Iterator[Problem]:
    groups = {name: {sample["group"] for sample in samples if "group" in sample} for name, samples in datalists.items()}
    for one, other in itertools.combinations(datalists, 2):
        shared = sorted(groups[one] & groups[other])
        if shared:
            message = (
                f"the splits {one} and {other} share {len(shared)} patients (groups): {shorten(shared)}; {TOO_GOOD}."
            )
            yield Problem("patient", message, tuple(shared))
