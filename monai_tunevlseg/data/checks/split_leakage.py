"""Split leakage: images, copies, near-duplicates, patients and sequences that occur more than once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from monai_tunevlseg.data.checks.duplicates import group_identical_files, group_near_duplicates
from monai_tunevlseg.data.issues import DatasetIssue
from monai_tunevlseg.data.sample_masks import read_sample_mask, whole_volume
from monai_tunevlseg.data.samples import Sample, Splits
from monai_tunevlseg.messages import shorten

__all__ = ["find_copies", "find_near_duplicates", "find_shared_samples", "find_repetitions", "find_shared_sequences"]

BIASED = "results on such splits are optimistically biased"


def find_copies(datalists: Mapping[str, Sequence[Sample]]) -> list[list[str]]:
    """Return the groups of images with identical bytes."""
    images = dict.fromkeys(Path(image) for samples in datalists.values() for image in _images(samples))
    return [[str(path) for path in group] for group in group_identical_files(path for path in images if path.is_file())]


def find_shared_samples(
    datalists: Mapping[str, Sequence[Sample]], copies: Sequence[Sequence[str]]
) -> list[DatasetIssue]:
    """Find images, copies and groups such as patients in more than one split."""
    return [*_shared_images(datalists), *_shared_copies(datalists, copies), *_shared_groups(datalists)]


def find_shared_sequences(splits: Splits, sequence_of: Callable[[str], str]) -> list[DatasetIssue]:
    """Find the sequences of frames in the test split that another split shows too."""
    seen = {sequence_of(stem) for name in splits if name != "test" for stem in splits[name]}
    shared = [stem for stem in splits.get("test", []) if sequence_of(stem) in seen]
    if not shared:
        return []
    sequences = sorted({sequence_of(stem) for stem in shared}, key=lambda name: (len(name), name))
    message = (
        f"{len(shared)} of the {len(splits['test'])} test frames belong to sequences that train or val show too: "
        f"{shorten(sequences)}; the paper draws frame by frame, but results on new sequences are lower: to measure "
        "those, give each split whole sequences in a splits_file."
    )
    return [DatasetIssue("sequence", message, tuple(shared))]


def find_near_duplicates(
    datalists: Mapping[str, Sequence[Sample]],
    copies: Sequence[Sequence[str]],
    looks: Mapping[str, tuple[np.ndarray, np.ndarray]],
    distance: int,
) -> list[DatasetIssue]:
    """Find groups of pictures that look nearly the same, other than copies.

    Args:
        datalists: the samples of each split.
        copies: groups of images with identical bytes.
        looks: the perceptual hash and the fine details of each image, by path.
        distance: maximum Hamming distance of two hashes, in bits.
    """
    copy_of = {image: number for number, group in enumerate(copies) for image in group}
    splits_of, classes_of = _splits_of(datalists), _classes_of(datalists)
    names = [image for image in looks if image in splits_of]
    if not names:
        return []
    bits, fine = (np.stack([looks[image][part] for image in names]) for part in (0, 1))
    found = group_near_duplicates(bits, fine, distance)
    issues = []
    for group in ([names[number] for number in numbers] for numbers in found):
        if len({copy_of.get(image, image) for image in group}) == 1:
            continue
        what = f"{len(group)} images look nearly the same: {_named(group, splits_of)}"
        classes = sorted(set().union(*(classes_of[image] for image in group)))
        if any(classes_of[image] != set(classes) for image in group):
            what += f", though their classes differ ({', '.join(classes)})"
        issues.append(_repetition(group, splits_of, what, "near-duplicate"))
    return issues


def find_repetitions(datalists: Mapping[str, Sequence[Sample]], copies: Sequence[Sequence[str]]) -> list[DatasetIssue]:
    """Find copies within one split, and copies with different classes or masks."""
    splits_of = _splits_of(datalists)
    samples_of: dict[str, list[Sample]] = {}
    for sample in itertools.chain(*datalists.values()):
        samples_of.setdefault(sample["image"], []).append(sample)
    issues = []
    for group in copies:
        named = _named(group, splits_of)
        if len(set().union(*(splits_of[image] for image in group))) == 1:
            issues.append(_repetition(group, splits_of, f"{len(group)} images are identical files: {named}", "copies"))
        difference = _difference([samples_of[image] for image in group])
        if difference:
            message = f"{len(group)} images are identical files but {difference}: {named}; keep the right one."
            issues.append(DatasetIssue("contradiction", message, tuple(group)))
    return issues


def _difference(copies: Sequence[Sequence[Sample]]) -> str:
    """Describe how the samples of identical images differ; "" when they do not."""
    classes = [{sample["class_name"] for sample in samples} for samples in copies]
    if any(names != classes[0] for names in classes):
        return f"have different classes ({', '.join(sorted(set().union(*classes)))})"
    lowest = 1.0
    for name in classes[0]:
        try:
            masks = [_mask_of(samples, name) for samples in copies]
        except (OSError, ValueError):
            continue  # an unreadable mask is reported with its file
        lowest = min(lowest, *(_dice(masks[0], mask) for mask in masks[1:]))
    return f"have different masks (Dice {100 * lowest:.1f})" if lowest < 1 else ""


def _mask_of(samples: Sequence[Sample], class_name: str) -> np.ndarray:
    shown = [read_sample_mask(whole_volume(sample)) == 1 for sample in samples if sample["class_name"] == class_name]
    return np.logical_or.reduce(shown)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return 0.0
    area = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / area if area else 1.0


def _repetition(group: Sequence[str], splits_of: Mapping[str, set[str]], what: str, kind: str) -> DatasetIssue:
    if len(set().union(*(splits_of[image] for image in group))) > 1:
        message = f"{what}; look at them, and keep them in one split with group_pattern or a splits_file."
        return DatasetIssue(kind, message, tuple(group))
    return DatasetIssue(f"{kind} in one split", f"{what}; each of them counts.", tuple(group))


def _named(group: Sequence[str], splits_of: Mapping[str, set[str]]) -> str:
    return shorten((f"{image} ({'/'.join(sorted(splits_of[image]))})" for image in group), most=4)


def _splits_of(datalists: Mapping[str, Sequence[Sample]]) -> dict[str, set[str]]:
    splits: dict[str, set[str]] = {}
    for name, samples in datalists.items():
        for image in _images(samples):
            splits.setdefault(image, set()).add(name)
    return splits


def _classes_of(datalists: Mapping[str, Sequence[Sample]]) -> dict[str, set[str]]:
    classes: dict[str, set[str]] = {}
    for sample in itertools.chain(*datalists.values()):
        classes.setdefault(sample["image"], set()).add(sample["class_name"])
    return classes


def _images(samples: Sequence[Sample]) -> dict[str, None]:
    return dict.fromkeys(sample["image"] for sample in samples)


def _shared_images(datalists: Mapping[str, Sequence[Sample]]) -> Iterator[DatasetIssue]:
    for one, other in itertools.combinations(datalists, 2):
        shared = sorted(_images(datalists[one]).keys() & _images(datalists[other]).keys())
        if shared:
            names = shorten(Path(image).name for image in shared)
            message = f"the splits {one} and {other} share {len(shared)} images: {names}; {BIASED}; list each in one."
            yield DatasetIssue("overlap", message, tuple(shared))


def _shared_copies(
    datalists: Mapping[str, Sequence[Sample]], copies: Sequence[Sequence[str]]
) -> Iterator[DatasetIssue]:
    splits_of = _splits_of(datalists)
    for group in copies:
        if len(set().union(*(splits_of[image] for image in group))) > 1:
            named = _named(group, splits_of)
            message = f"identical files are in more than one split: {named}; {BIASED}; keep one of them."
            yield DatasetIssue("duplicate", message, tuple(group))


def _shared_groups(datalists: Mapping[str, Sequence[Sample]]) -> Iterator[DatasetIssue]:
    groups = {name: {sample["group"] for sample in samples if "group" in sample} for name, samples in datalists.items()}
    for one, other in itertools.combinations(datalists, 2):
        shared = sorted(groups[one] & groups[other])
        if shared:
            message = (
                f"the splits {one} and {other} share {len(shared)} patients (groups): {shorten(shared)}; {BIASED}; "
                "list whole groups."
            )
            yield DatasetIssue("patient", message, tuple(shared))
