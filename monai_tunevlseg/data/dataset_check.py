"""Checking a dataset's folder: everything that is wrong with it, and everything that a reader of results must know.

What is wrong: files that are missing, unreadable, unknown or of the wrong size or encoding; splits that are empty or
share an image, the bytes of an image or a patient; label values and thresholds that no mask holds; sizes other than
those of the paper's Table 1, unless the folder holds less than nine tenths of it, which is a part of the dataset on
purpose. Only warned of, since some datasets are meant so or eyes must decide: pictures that nearly look the same,
copies within a split, copies whose masks or classes differ, frames of one sequence in two splits, files that are read
by a rule of their own, empty masks, texts that give the answer away, parts of a dataset, and splits of the user's own
that have other sizes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.class_presence import absence_message
from monai_tunevlseg.data.datalists import choose_text, find_splits, read_cases
from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.duplicates import HASH_BITS
from monai_tunevlseg.data.file_traits import trait_warnings
from monai_tunevlseg.data.image_check import ImageCheck, check_image
from monai_tunevlseg.data.intensity_windows import window_entry
from monai_tunevlseg.data.issues import DatasetError, DatasetIssue
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.layouts._dataset_json import DATASET_JSON
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.sample_masks import mask_paths
from monai_tunevlseg.data.samples import SPLIT_NAMES, Case, Sample, Splits
from monai_tunevlseg.data.split_leakage import (
    find_copies,
    find_near_duplicates,
    find_repetitions,
    find_shared_samples,
    find_shared_sequences,
)
from monai_tunevlseg.data.splits import OverlapWarning
from monai_tunevlseg.data.text_leakage import find_text_leakage
from monai_tunevlseg.messages import shorten

__all__ = ["MAX_DISTANCE", "DatasetReport", "SplitReport", "check_dataset"]

MAX_DISTANCE = 48
"""Of `HASH_BITS` bits, with `duplicates.CORRELATION` as a second look: the same pictures with marks drawn on them or at
another contrast differ in up to 50, different ones in 46 or more, which the second look tells apart."""
PARTIAL_COPY = 0.9
"""With a smaller share of Table 1's pairs, a folder is a part of the dataset."""
LEFT_OUT = "left out"
"""What a report calls the images that are in no split."""
Numbers = dict[str, list[int]]


@dataclass
class SplitReport:
    """What a split holds: images with a sample, (image, class) pairs, those with an empty mask, and pairs by class."""

    images: int
    pairs: int
    empty: int
    classes: dict[str, int]


@dataclass
class DatasetReport:
    """What was found.

    Args:
        layout: which dataset.
        dataset_dir: its folder.
        class_names: the classes that were asked for.
        splits: what each split holds, and "left out" what is in none; where no splits can be told, "all".
        table_1: the pairs of train, val and test in the paper's Table 1; None where it does not apply.
        files: how many files of images and masks were opened.
        errors: what is wrong.
        warnings: what one should know.
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
        """Return plain JSON, with `ok` for whether nothing is wrong."""
        return {"ok": not self.errors, **asdict(self)}


def check_dataset(
    spec: DatasetSpec,
    max_distance: int = MAX_DISTANCE,
    started: Callable[[int], None] = lambda images: None,
    advanced: Callable[[], None] = lambda: None,
) -> DatasetReport:
    """Read a dataset as training does, open every file on all cores, and report all that is wrong.

    Images that show none of the classes are not opened.

    Args:
        spec: which dataset, read how.
        max_distance: images that look group_near_duplicates are reported when their perceptual hashes differ in at most
            this many of 256 bits.
        started: is told the number of images before they are opened.
        advanced: is called after each of them.

    Raises:
        ValueError: when an argument is wrong; what is wrong with the folder is in the report.
    """
    if not 0 <= max_distance <= HASH_BITS:
        raise ValueError(f"max_distance must be in 0..{HASH_BITS} bits, not {max_distance}.")
    encoding = spec.encoding()
    report = DatasetReport(spec.layout, str(spec.folder), tuple(encoding.class_names))
    cases, splits = _read(spec, report)
    samples, numbers = _number(cases, splits)
    _choose_texts(samples, spec, report)
    for sample in samples:
        sample.update(window_entry(spec.intensity_window))
    images: dict[str, list[int]] = {}
    for number, sample in enumerate(samples):
        images.setdefault(sample["image"], []).append(number)
    started(len(images))
    checks = _inspect(samples, images, advanced)
    empty = _gather(checks, images, len(samples), report)
    _count(samples, numbers, empty, report)
    _find_absent(encoding, samples, empty, report)
    _tell_values(spec, encoding, samples, report)
    _compare_with_table(spec, sum(len(case.samples) for case in cases), report)
    datalists = {name: [samples[number] for number in numbers[name]] for name in splits}
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
    """Read the cases and splits that can be read; what cannot goes to the report, and so do warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cases = _read_cases(spec, report)
        splits = _read_splits(spec, cases, report) if cases else {}
    # overlap is found again, and is an error here
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
    """Find the splits, and note the group of each sample."""
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


def _number(cases: Sequence[Case], splits: Splits) -> tuple[list[Sample], Numbers]:
    """List the samples of all splits, then those left out, and the numbers of each split's."""
    of_stem = {case.stem: case.samples for case in cases}
    parts = dict(splits) or {"all": list(of_stem)}
    left_out = sorted(of_stem.keys() - set().union(*parts.values()))
    if left_out:
        parts[LEFT_OUT] = left_out
    samples: list[Sample] = []
    numbers: Numbers = {}
    for name, stems in parts.items():
        listed = [sample for stem in stems for sample in of_stem[stem]]
        numbers[name] = list(range(len(samples), len(samples) + len(listed)))
        samples += listed
    return samples, numbers


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
        check = check_image(Path(image), [samples[number] for number in images[image]])
        advanced()
        return check

    with ThreadPoolExecutor() as pool:
        return list(pool.map(inspect, images))


def _gather(
    checks: Sequence[ImageCheck], images: Mapping[str, Sequence[int]], total: int, report: DatasetReport
) -> list[bool | None]:
    """Report what was wrong with the files, and return for each sample whether its mask is empty."""
    empty: list[bool | None] = [None] * total
    for check in checks:
        report.errors += check.issues
        for number, is_empty in zip(images[check.image], check.empty, strict=True):
            empty[number] = is_empty
    return empty


def _count(samples: Sequence[Sample], numbers: Numbers, empty: Sequence[bool | None], report: DatasetReport) -> None:
    """Count what each split holds, and note empty splits and masks."""
    for split, members in numbers.items():
        counts = Counter(samples[number]["class_name"] for number in members)
        report.splits[split] = SplitReport(
            images=len({samples[number]["image"] for number in members}),
            pairs=len(members),
            empty=sum(bool(empty[number]) for number in members),
            classes={name: counts[name] for name in dict.fromkeys((*report.class_names, *counts)) if counts[name]},
        )
        if not members and split in SPLIT_NAMES:
            message = f"the split {split!r} has no pairs: it lists no image, or none of its images shows a class."
            report.errors.append(DatasetIssue("splits", message))
    masks = {str(path) for sample in samples for path in mask_paths(sample)}
    report.files = len(masks | {sample["image"] for sample in samples})
    nothing = [sample for sample, is_empty in zip(samples, empty, strict=True) if is_empty]
    if nothing:
        files = [str(path) for sample in nothing for path in mask_paths(sample)]
        message = (
            f"{len(nothing)} of {len(samples)} pairs have an empty mask: {shorten(Path(file).name for file in files)}; "
            "an empty prediction scores 100 on them, so read the results of pairs with foreground beside those of all."
        )
        report.warnings.append(DatasetIssue("empty mask", message, tuple(files)))


def _find_absent(
    encoding: MaskEncoding, samples: Sequence[Sample], empty: Sequence[bool | None], report: DatasetReport
) -> None:
    """Report classes whose value or threshold the user gave and no mask holds."""
    if encoding.label_values is None and encoding.mask_threshold is None:
        return
    shown = {sample["class_name"] for sample, is_empty in zip(samples, empty, strict=True) if not is_empty}
    message = absence_message(encoding, [name for name in encoding.class_names if name not in shown])
    if message and report.files:
        report.errors.append(DatasetIssue("encoding", message))


def _tell_values(spec: DatasetSpec, encoding: MaskEncoding, samples: Sequence[Sample], report: DatasetReport) -> None:
    """Say which label values are taken for which classes where neither the user nor the dataset does."""
    known = LAYOUTS[spec.layout].info is not None or (spec.folder / DATASET_JSON).is_file()
    if any("label_value" in sample for sample in samples) and spec.label_values is None and not known:
        taken = ", ".join(f"{value} = {name}" for name, value in encoding.values.items())
        message = (
            f"the values of the label maps are taken for 0 = background, {taken}; where ids begin with 0 for a class, "
            "or their order is another, give label_values."
        )
        report.warnings.append(DatasetIssue("label values", message))


def _compare_with_table(spec: DatasetSpec, total: int, report: DatasetReport) -> None:
    """Compare with Table 1; `total` counts the pairs, also those in no split."""
    info = LAYOUTS[spec.layout].info
    if info is None or set(report.class_names) != set(info.class_names):
        return
    report.table_1 = info.sizes
    whole = sum(info.sizes)
    if total < PARTIAL_COPY * whole:
        message = f"these are {total} of the {whole} pairs of {info.title} in the paper's Table 1: a part of it."
        report.warnings.append(DatasetIssue("count", message))
    elif total != whole:
        message = f"these are {total} pairs where {info.title} has {whole} in the paper's Table 1; unpack it again."
        report.errors.append(DatasetIssue("count", message))
    else:
        _compare_splits(spec, info.sizes, report)


def _compare_splits(spec: DatasetSpec, sizes: tuple[int, int, int], report: DatasetReport) -> None:
    found = {name: split.pairs for name, split in report.splits.items()}
    if not set(SPLIT_NAMES) <= found.keys():
        return
    if not sizes[1]:  # the paper divides nothing off the owner's train part
        found |= {"train": found["train"] + found["val"], "val": 0}
    if tuple(found[name] for name in SPLIT_NAMES) == sizes:
        return
    message = (
        f"the splits hold {'/'.join(str(found[name]) for name in SPLIT_NAMES)} pairs where the paper's Table 1 has "
        f"{'/'.join(map(str, sizes))}"
    )
    if spec.splits_file is not None or (spec.folder / "splits.json").exists():
        report.warnings.append(DatasetIssue("count", f"{message}: results on them are not those of its splits."))
    else:
        report.errors.append(DatasetIssue("count", f"{message}; unpack the dataset again."))
