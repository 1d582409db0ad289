"""What the user asks of a dataset, against what is known of its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monai_tunevlseg.data.cases import Facts, MaskCoding

__all__ = ["binary_coding", "check_classes", "valued_coding"]


def check_classes(coding: MaskCoding, facts: Facts, known: Sequence[str] = ()) -> None:
    """Refuse classes that a dataset has not.

    Args:
        coding: what the user asks for.
        facts: of the dataset.
        known: its classes, where they are not those of `facts`.

    Raises:
        ValueError: when a class is unknown, or mask_ending is given; the message lists all classes.
    """
    known = known or facts.class_names
    unknown = [name for name in coding.class_names if name not in known]
    if unknown:
        raise ValueError(
            f"{facts.title} has no class {', '.join(map(repr, unknown))}: class_names may be {', '.join(known)}; "
            "to name a class otherwise for the network, set neutral_text."
        )
    if coding.mask_ending is not None:
        raise ValueError(
            f"mask_ending {coding.mask_ending!r} is for the layout folder; the names of the masks of {facts.title} are "
            "known: set it to null."
        )


def binary_coding(coding: MaskCoding, facts: Facts, mask_threshold: float | None = None) -> MaskCoding:
    """Compose the coding of a dataset with one class and binary masks.

    Args:
        coding: what the user asks for.
        facts: of the dataset.
        mask_threshold: from which value on its masks mean foreground, where the user says nothing.

    Raises:
        ValueError: when a class is unknown or label values are given.
    """
    check_classes(coding, facts)
    if coding.label_values is not None:
        raise ValueError(
            f"the masks of {facts.title} are binary, so that label_values {dict(coding.label_values)} have no meaning; "
            "set label_values to null."
        )
    threshold = mask_threshold if coding.mask_threshold is None else coding.mask_threshold
    return MaskCoding(coding.class_names, mask_threshold=threshold)


def valued_coding(coding: MaskCoding, facts: Facts, label_values: Mapping[str, int]) -> MaskCoding:
    """Compose the coding of a dataset whose masks are label maps.

    Args:
        coding: what the user asks for.
        facts: of the dataset.
        label_values: of all its classes, where the user gives no other.

    Raises:
        ValueError: when a class is unknown or a threshold is given.
    """
    check_classes(coding, facts)
    if coding.mask_threshold is not None:
        raise ValueError(
            f"the masks of {facts.title} are label maps, so that mask_threshold {coding.mask_threshold} has no "
            "meaning; set mask_threshold to null."
        )
    return MaskCoding(
        coding.class_names, coding.label_values or {name: label_values[name] for name in coding.class_names}
    )
