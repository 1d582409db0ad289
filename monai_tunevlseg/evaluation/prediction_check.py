"""Checks of predicted masks before they are scored: every file is opened, and all issues are reported at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.mask_values import distinct_values, to_binary_mask, to_label_map
from monai_tunevlseg.data.io.orientation import array_axis
from monai_tunevlseg.data.io.reading import read_shape, read_unique_values
from monai_tunevlseg.data.io.volumes import same_grid
from monai_tunevlseg.data.issues import DatasetIssue, map_files, size_issue
from monai_tunevlseg.data.samples import Case, Sample
from monai_tunevlseg.evaluation.prediction_files import (
    FoundPredictions,
    PredictionForm,
    find_predictions,
    in_terms_of_predictions,
)
from monai_tunevlseg.messages import shorten

__all__ = ["MISSING_RULES", "match_predictions"]

MISSING_RULES = ("error", "empty")
POSITION = ("slice", "slice_axis")


def match_predictions(
    folder: Path, form: PredictionForm, samples: Sequence[Sample], cases: Sequence[Case], missing: str = "error"
) -> list[Sample | None]:
    """Find and check the prediction of every pair of a split.

    Warnings name classes that no prediction shows, volumes whose affine differs from that of their image, and what
    `find_predictions` warns of.

    Args:
        folder: the folder of the predictions.
        form: how they encode classes.
        samples: the pairs of the split.
        cases: all cases of the dataset.
        missing: "error" refuses pairs without a prediction; "empty" scores them as empty predictions, which some tools
            do not write.

    Returns:
        for each pair a sample whose mask is the prediction; None = it is missing and counts as empty.

    Raises:
        FileNotFoundError: when the folder does not exist or holds no predictions.
        ValueError: when `missing` is unknown, or predictions are missing, belong to no image, cannot be read, differ
            from their image in size, or hold values without a class; it lists all of them.
    """
    if missing not in MISSING_RULES:
        raise ValueError(f"missing is {missing!r}; it must be {' or '.join(MISSING_RULES)}.")
    try:
        found = find_predictions(folder, form, samples, cases)
    except ValueError as error:
        raise ValueError(in_terms_of_predictions(str(error))) from error
    issues = [*found.issues, *_missing_issue(found, folder, missing), *_check_files(found, samples)]
    if issues:
        messages = [in_terms_of_predictions(issue.message) for issue in issues]
        first = [] if len(messages) == 1 else [f"{len(messages)} issues with the predictions in {folder}:"]
        raise ValueError("\n- ".join([*first, *messages]))
    return [_prediction(found, number, sample) for number, sample in enumerate(samples)]


def _missing_issue(found: FoundPredictions, folder: Path, missing: str) -> list[DatasetIssue]:
    if not found.absent or missing == "empty":
        return []
    message = (
        f"{len(found.absent)} predictions are missing in {folder}: {shorten(found.absent)}; add them, or set missing "
        "to empty, which scores them as empty masks."
    )
    return [DatasetIssue("missing", message)]


def _prediction(found: FoundPredictions, number: int, sample: Sample) -> Sample | None:
    """Return a sample whose mask is the prediction."""
    if number not in found.files:
        return None
    file, name = found.files[number], sample["class_name"]
    if found.per_pair:
        return found.encodings[name].sample(file, file, name)
    position = {key: sample[key] for key in POSITION if key in sample}
    return found.encodings[name].sample(Path(sample["image"]), file, name, **position)


def _check_files(found: FoundPredictions, samples: Sequence[Sample]) -> list[DatasetIssue]:
    """Open every file once, and return the issues."""
    numbers = {file: number for number, file in found.files.items()}

    def check(file: Path) -> tuple[Path, set[str]] | DatasetIssue:
        return _check(file, samples[numbers[file]], found)

    checked, issues = map_files(check, list(numbers), lambda file: [file])
    shown = set[str]().union(*(names for _, names in checked))
    scored = dict.fromkeys(samples[number]["class_name"] for number in found.files)
    if not issues and (hidden := [name for name in scored if name not in shown]):
        warnings.warn(f"all predictions of {shorten(map(repr, hidden))} are empty; check their values.", stacklevel=2)
    moved = [file.name for file, _ in checked if _lies_elsewhere(file, Path(samples[numbers[file]]["image"]))]
    if moved:
        warnings.warn(
            f"the affines of {len(moved)} predictions differ from those of their images: {shorten(moved)}; stored "
            "voxels are taken to match.",
            stacklevel=2,
        )
    return issues


def _check(file: Path, sample: Sample, found: FoundPredictions) -> tuple[Path, set[str]] | DatasetIssue:
    """Return the classes that a file shows, or its issue."""
    image = Path(sample["image"])
    shape, stored = read_unique_values(file, image)
    expected = list(read_shape(image))
    if found.per_pair and "slice" in sample:
        del expected[array_axis(sample["slice_axis"])]
    if list(shape) != expected:
        return size_issue(image, expected, file, shape)
    encoding = found.encodings[sample["class_name"]]
    if encoding.binary:
        shows = to_binary_mask(stored, file, mask_threshold=encoding.mask_threshold).any()
        return file, {sample["class_name"]} if shows else set()
    present = set(distinct_values(to_label_map(stored, file)).tolist())
    if found.allowed is not None and (unknown := sorted(present - found.allowed)):
        message = (
            f"{file} holds the values {shorten(unknown)}, which no class has ({_values_text(encoding.values)}); give "
            "prediction_values."
        )
        return DatasetIssue("encoding", message, (str(file),))
    return file, {name for name, value in encoding.values.items() if value in present}


def _values_text(values: dict[str, int | None]) -> str:
    return shorten(f"{name} = {value}" for name, value in values.items())


def _lies_elsewhere(file: Path, image: Path) -> bool:
    both_volumes = is_volume_file(file) and is_volume_file(image) and len(read_shape(image)) == 3
    return both_volumes and not same_grid(file, image)
