"""Checks that the masks of a dataset show its classes: with a wrong value or threshold, every mask is empty."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from monai_tunevlseg.data.issues import DatasetIssue
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.sample_masks import read_sample_mask, whole_volume
from monai_tunevlseg.data.samples import Case, Sample
from monai_tunevlseg.messages import shorten

__all__ = [
    "absence_message",
    "absent_classes",
    "find_ids_from_zero",
    "require_classes",
    "warn_of_classes_without_pairs",
]


def absent_classes(class_names: Sequence[str], samples: Iterable[Sample]) -> list[str]:
    """Return the classes that no mask shows.

    Masks of a class are decoded until one shows it, in most datasets a single mask for each class.

    Raises:
        ValueError: when a mask cannot be read.
    """
    missing = dict.fromkeys(class_names)
    seen = set()
    for sample in samples:
        name = sample["class_name"]
        key = (name, str(sample["label"]))
        if name not in missing or key in seen:
            continue
        seen.add(key)
        if (read_sample_mask(whole_volume(sample)) == 1).any():
            del missing[name]
            if not missing:
                break
    return list(missing)


def require_classes(encoding: MaskEncoding, cases: Sequence[Case]) -> None:
    """Check that the masks hold the label values, or reach the threshold, given by the user.

    Raises:
        ValueError: when no mask shows a class with a given value or threshold.
    """
    samples = [sample for case in cases for sample in case.samples]
    if encoding.label_values is None and encoding.mask_threshold is None:
        return
    if cases and (message := absence_message(encoding, absent_classes(encoding.class_names, samples))):
        raise ValueError(message)


def absence_message(encoding: MaskEncoding, absent: Sequence[str]) -> str:
    """Return the sentence that no mask shows the `absent` classes, or an empty text if that is not an error.

    It is an error only with given label values or a given threshold, and with a threshold only if all classes are
    absent.
    """
    if encoding.label_values is None and len(absent) < len(encoding.class_names) or not absent:
        return ""
    if encoding.label_values is None:
        return f"mask_threshold {encoding.mask_threshold:g} is above every value in the masks: all are empty; lower it."
    values = ", ".join(f"{name} = {encoding.values[name]}" for name in absent)
    return f"label_values has {values}, which no mask holds; correct the value, or leave the class out of class_names."


def warn_of_classes_without_pairs(encoding: MaskEncoding, cases: Sequence[Case], place: str) -> None:
    """Warn of classes without a pair in a dataset whose label values are not given.

    Args:
        encoding: the classes.
        cases: the cases, with a sample for each class that a mask shows.
        place: the dataset's folder, for the message.
    """
    shown = {sample["class_name"] for case in cases for sample in case.samples}
    missing = [name for name in encoding.class_names if name not in shown]
    if cases and missing:
        warnings.warn(
            f"no mask of {place} shows {shorten(map(repr, missing))}, which is neither learned nor measured; give "
            "label_values if label ids begin with 0 or have another order, else leave it out of class_names.",
            stacklevel=2,
        )


def find_ids_from_zero(class_names: Sequence[str], cases: Sequence[Case], place: str) -> list[DatasetIssue]:
    """Find label maps whose class ids seem to begin with 0: only the last of three or more classes is missing.

    Args:
        class_names: the classes that are assigned the values 1, 2 and so on.
        cases: the cases, with a sample for each class that a mask shows.
        place: the dataset's folder, for the message.
    """
    shown = {sample["class_name"] for case in cases for sample in case.samples}
    if len(class_names) < 3 or shown != set(class_names[:-1]):
        return []
    last, from_zero = class_names[-1], {name: value for value, name in enumerate(class_names)}
    message = (
        f"no mask of {place} holds {len(class_names)}, the value of {last!r}, but the masks hold the values of all "
        f"other classes; give label_values {from_zero} if ids begin with 0, else leave {last!r} out of class_names."
    )
    return [DatasetIssue("encoding", message, (place,))]
