"""Checking a dataset's folder.

Errors: files that are missing, unreadable, unknown or of the wrong size or encoding; splits that are empty or share an
image, identical files or a patient; label values and thresholds that no mask holds; sizes that differ from the paper's
Table 1, unless the folder holds less than nine tenths of the dataset and so is a deliberate part of it.

Warnings, because they may be intended or a person must decide: pictures that look nearly the same, copies within a
split, copies whose masks or classes differ, frames of one sequence in two splits, files that are read by a special
rule, empty masks, texts that leak the label, parts of a dataset, and the user's own splits of other sizes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.checks.duplicates import HASH_BITS
from monai_tunevlseg.data.checks.file_traits import trait_warnings
from monai_tunevlseg.data.checks.image_check import ImageCheck, check_image
from monai_tunevlseg.data.checks.split_leakage import (
    find_copies,
    find_near_duplicates,
    find_repetitions,
    find_shared_samples,
    find_shared_sequences,
)
from monai_tunevlseg.data.checks.text_leakage import find_text_leakage
from monai_tunevlseg.data.class_presence import absence_message
from monai_tunevlseg.data.datalists import choose_text, find_splits, read_cases
from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.intensity_windows import window_entry
from monai_tunevlseg.data.issues import DatasetError, DatasetIssue
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.layouts._dataset_json import DATASET_JSON
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.sample_masks import mask_paths
from monai_tunevlseg.data.samples import SPLIT_NAMES, Case, Sample, Splits
from monai_tunevlseg.data.splits import OverlapWarning
from monai_tunevlseg.messages import shorten

__all__ = ["MAX_DISTANCE", "DatasetReport", "SplitReport", "check_dataset"]

MAX_DISTANCE = 48
"""Maximum Hamming distance of near-duplicates, of `HASH_BITS` bits. The same picture with marks drawn on it or with
another contrast differs in up to 50 bits, different pictures in 46 or more; `duplicates.CORRELATION` separates them."""
PARTIAL_COPY = 0.9
"""A folder with a smaller share of Table 1's pairs is a part of the dataset."""
LEFT_OUT = "left out"
"""Name of the images in no split, in a report."""
Indices = dict[str, list[int]]


@dataclass
class SplitReport:
    """Counts of a split: images with a sample, (image, class) pairs, pairs with an empty mask, and pairs by class."""

    images: int
    pairs: int
    empty: int
    classes: dict[str, int]


@dataclass
class DatasetReport:
    """Result of checking a dataset.

    Args:
        layout: the dataset's layout.
        dataset_dir: its folder.
        class_names: the requested classes.
        splits: the counts of each split, and of the images "left out" of all; of "all" when splits cannot be found.
        table_1: the pairs of train, val and test in the paper's Table 1; None when it does not apply.
        files: the number of opened image and mask files.
        errors: the errors.
        warnings: the warnings.
    """

    layout: str
    dataset_dir: str
    class_names: tuple[str, ...]
    splits: dict[str, SplitReport] = field(default_factory=dict)
    table_1: tuple[int, int, int] | None = None
    files: int = 0
    errors: list[DatasetIssue] = field(default_factory=list)
    warnings: list[DatasetIssue] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; `ok` is true without errors."""
        return {"ok": not self.errors, **asdict(self)}


def check_dataset(
    spec: DatasetSpec,
    max_distance: int = MAX_DISTANCE,
    started: Callable[[int], None] = lambda images: None,
    advanced: Callable[[], None] = lambda: None,
) -> DatasetReport:
    """Read a dataset as training does, open every file on all cores, and report all errors and warnings.

    Images that show none of the classes are not opened.

    Args:
        spec: the dataset, and how it is read.
        max_distance: maximum Hamming distance between the perceptual hashes of near-duplicates, in 0..256 bits.
        started: is called with the number of images before they are opened.
        advanced: is called after each image.

    Raises:
        ValueError: when an argument is wrong; issues of the folder are in the report.
    """
    if not 0 <= max_distance <= HASH_BITS:
        raise ValueError(f"max_distance must be in 0..{HASH_BITS} bits, not {max_distance}.")
    encoding = spec.encoding()
    report = DatasetReport(spec.layout, str(spec.folder), tuple(encoding.class_names))
    cases, splits = _read(spec, report)
    samples, indices = _index_samples(cases, splits)
    _choose_texts(samples, spec, report)
    for sample in samples:
        sample.update(window_entry(spec.intensity_window))
    images: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        images.setdefault(sample["image"], []).append(index)
    started(len(images))
    checks = _inspect(samples, images, advanced)
    empty = _gather(checks, images, len(samples), report)
    _count(samples, indices, empty, report)
    _find_absent(encoding, samples, empty, report)
    _report_assumed_values(spec, encoding, samples, report)
    _compare_with_table(spec, sum(len(case.samples) for case in cases), report)
    datalists = {name: [samples[index] for index in indices[name]] for name in splits}
    looks = {
        check.image: (check.bits, check.details)
        for check in checks
        if check.bits is not None and check.details is not None
    }
    report.warnings += trait_warnings([trait for check in checks for trait in check.traits])
    copies = find_copies(datalists)
    report.errors += find_shared_samples(datalists, copies)
    report.warnings += find_repetitions(datalists, copies)
    report.warnings += find_near_duplicates(datalists, copies, looks, max_distance)
    report.warnings += find_text_leakage([sample["text"] for sample in samples], empty, [s["image"] for s in samples])
    return report


def _read(spec: DatasetSpec, report: DatasetReport) -> tuple[list[Case], Splits]:
    """Read the cases and splits that are readable; issues and warnings go to the report."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cases = _read_cases(spec, report)
        splits = _read_splits(spec, cases, report) if cases else {}
    # overlap is found again as an error
    notices = [warning for warning in caught if not issubclass(warning.category, OverlapWarning)]
    report.warnings += [
        DatasetIssue("notice", message) for message in dict.fromkeys(str(one.message) for one in notices)
    ]
    return cases, splits


def _read_cases(spec: DatasetSpec, report: DatasetReport) -> list[Case]:
    try:
        return read_cases(spec)
    except DatasetError as error:
        report.errors += error.issues
        return error.cases
    except (OSError, ValueError) as error:
        kind = "missing" if isinstance(error, FileNotFoundError) else "layout"
        report.errors.append(DatasetIssue(kind, str(error), (str(spec.folder),)))
        return []


def _read_splits(spec: DatasetSpec, cases: Sequence[Case], report: DatasetReport) -> Splits:
    """Find the splits, and set the group of each sample."""
    try:
        group_of = spec.group_of()
        splits = find_splits(spec, cases, tolerant=bool(report.errors))
        if group_of is not None:
            for case in cases:
                for sample in case.samples:
                    sample["group"] = group_of(case.stem)
    except (OSError, ValueError) as error:
        report.errors.append(DatasetIssue("splits", str(error), (str(spec.splits_file or spec.folder),)))
        return {}
    sequence_of = LAYOUTS[spec.layout].sequence_of
    if sequence_of is not None:
        report.warnings += find_shared_sequences(splits, sequence_of)
    return splits


def _index_samples(cases: Sequence[Case], splits: Splits) -> tuple[list[Sample], Indices]:
    """List the samples of all splits, then the samples left out, and the indices of each split."""
    of_stem = {case.stem: case.samples for case in cases}
    parts = dict(splits) or {"all": list(of_stem)}
    left_out = sorted(of_stem.keys() - set().union(*parts.values()))
    if left_out:
        parts[LEFT_OUT] = left_out
    samples: list[Sample] = []
    indices: Indices = {}
    for name, stems in parts.items():
        listed = [sample for stem in stems for sample in of_stem[stem]]
        indices[name] = list(range(len(samples), len(samples) + len(listed)))
        samples += listed
    return samples, indices


def _choose_texts(samples: Sequence[Sample], spec: DatasetSpec, report: DatasetReport) -> None:
    for sample in samples:
        try:
            sample["text"] = choose_text(sample, spec)
        except ValueError as error:
            report.errors.append(DatasetIssue("text", str(error), (sample["image"],)))
            return


def _inspect(
    samples: Sequence[Sample], images: Mapping[str, Sequence[int]], advanced: Callable[[], None]
) -> list[ImageCheck]:
    def inspect(image: str) -> ImageCheck:
        check = check_image(Path(image), [samples[index] for index in images[image]])
        advanced()
        return check

    with ThreadPoolExecutor() as pool:
        return list(pool.map(inspect, images))


def _gather(
    checks: Sequence[ImageCheck], images: Mapping[str, Sequence[int]], total: int, report: DatasetReport
) -> list[bool | None]:
    """Report the issues of the files, and return for each sample whether its mask is empty."""
    empty: list[bool | None] = [None] * total
    for check in checks:
        report.errors += check.issues
        for index, is_empty in zip(images[check.image], check.empty, strict=True):
            empty[index] = is_empty
    return empty


def _count(samples: Sequence[Sample], indices: Indices, empty: Sequence[bool | None], report: DatasetReport) -> None:
    """Count the content of each split, and report empty splits and masks."""
    for split, members in indices.items():
        counts = Counter(samples[index]["class_name"] for index in members)
        report.splits[split] = SplitReport(
            images=len({samples[index]["image"] for index in members}),
            pairs=len(members),
            empty=sum(bool(empty[index]) for index in members),
            classes={name: counts[name] for name in dict.fromkeys((*report.class_names, *counts)) if counts[name]},
        )
        if not members and split in SPLIT_NAMES:
            message = f"the split {split!r} has no pairs: it lists no images, or none of its images shows a class."
            report.errors.append(DatasetIssue("splits", message))
    masks = {str(path) for sample in samples for path in mask_paths(sample)}
    report.files = len(masks | {sample["image"] for sample in samples})
    nothing = [sample for sample, is_empty in zip(samples, empty, strict=True) if is_empty]
    if nothing:
        files = [str(path) for sample in nothing for path in mask_paths(sample)]
        message = (
            f"{len(nothing)} of {len(samples)} pairs have an empty mask: {shorten(Path(file).name for file in files)}; "
            "an empty prediction scores 100 on them, so read the results of pairs with foreground too."
        )
        report.warnings.append(DatasetIssue("empty mask", message, tuple(files)))


def _find_absent(
    encoding: MaskEncoding, samples: Sequence[Sample], empty: Sequence[bool | None], report: DatasetReport
) -> None:
    """Report classes whose given label value or threshold no mask reaches."""
    if encoding.label_values is None and encoding.mask_threshold is None:
        return
    shown = {sample["class_name"] for sample, is_empty in zip(samples, empty, strict=True) if not is_empty}
    message = absence_message(encoding, [name for name in encoding.class_names if name not in shown])
    if message and report.files:
        report.errors.append(DatasetIssue("encoding", message))


def _report_assumed_values(
    spec: DatasetSpec, encoding: MaskEncoding, samples: Sequence[Sample], report: DatasetReport
) -> None:
    """Report the assumed label values when neither the user nor the dataset gives them."""
    known = LAYOUTS[spec.layout].info is not None or (spec.folder / DATASET_JSON).is_file()
    if any("label_value" in sample for sample in samples) and spec.label_values is None and not known:
        taken = ", ".join(f"{value} = {name}" for name, value in encoding.values.items())
        message = (
            f"the values of the label maps are taken for 0 = background, {taken}; if the first class has the value 0, "
            "or the order differs, give label_values."
        )
        report.warnings.append(DatasetIssue("label values", message))


def _compare_with_table(spec: DatasetSpec, total: int, report: DatasetReport) -> None:
    """Compare with Table 1; `total` counts all pairs, including those in no split."""
    info = LAYOUTS[spec.layout].info
    if info is None or not any(info.sizes) or set(report.class_names) != set(info.class_names):
        return
    report.table_1 = info.sizes
    if not total:  # which other errors explain
        return
    whole = sum(info.sizes)
    if total < PARTIAL_COPY * whole:
        message = f"the folder holds {total} of the {whole} pairs of {info.title} in the paper's Table 1: a part of it."
        report.warnings.append(DatasetIssue("count", message))
    elif total != whole:
        message = (
            f"the folder holds {total} pairs, but {info.title} has {whole} in the paper's Table 1; unpack it again."
        )
        report.errors.append(DatasetIssue("count", message))
    else:
        _compare_splits(spec, info.sizes, report)


def _compare_splits(spec: DatasetSpec, sizes: tuple[int, int, int], report: DatasetReport) -> None:
    found = {name: split.pairs for name, split in report.splits.items()}
    if not set(SPLIT_NAMES) <= found.keys():
        return
    if not sizes[1]:  # the paper draws no val split from the owner's train part
        found |= {"train": found["train"] + found["val"], "val": 0}
    if tuple(found[name] for name in SPLIT_NAMES) == sizes:
        return
    message = (
        f"the splits hold {'/'.join(str(found[name]) for name in SPLIT_NAMES)} pairs, but the paper's Table 1 has "
        f"{'/'.join(map(str, sizes))}"
    )
    if spec.splits_file is not None or (spec.folder / "splits.json").exists():
        report.warnings.append(DatasetIssue("count", f"{message}: results are not comparable with the paper's."))
    else:
        report.errors.append(DatasetIssue("count", f"{message}; unpack the dataset again."))
