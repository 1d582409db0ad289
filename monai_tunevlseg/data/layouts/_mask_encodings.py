"""Combining the user's mask encoding with the known encoding of a dataset's masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monai_tunevlseg.data.layouts._base import DatasetInfo
from monai_tunevlseg.data.mask_encoding import MaskEncoding

__all__ = ["binary_encoding", "check_classes", "label_map_encoding", "refuse_label_values"]


def check_classes(encoding: MaskEncoding, info: DatasetInfo, known: Sequence[str] = ()) -> None:
    """Refuse classes that a dataset does not have.

    Args:
        encoding: the user's encoding.
        info: facts about the dataset.
        known: its classes, if they differ from those of `info`.

    Raises:
        ValueError: when a class is unknown, or mask_ending is given; the message lists all classes.
    """
    known = known or info.class_names
    unknown = [name for name in encoding.class_names if name not in known]
    if unknown:
        raise ValueError(
            f"{info.title} has no class {', '.join(map(repr, unknown))}: class_names may be {', '.join(known)}; "
            "to give the network another text, set neutral_text."
        )
    if encoding.mask_ending is not None:
        raise ValueError(
            f"mask_ending {encoding.mask_ending!r} applies to the layout folder only; the masks of {info.title} have "
            "known names: set it to null."
        )


def refuse_label_values(encoding: MaskEncoding, info: DatasetInfo) -> None:
    """Refuse label values for a dataset with binary masks.

    Raises:
        ValueError: when label values are given.
    """
    if encoding.label_values is not None:
        raise ValueError(
            f"the masks of {info.title} are binary, and label_values {dict(encoding.label_values)} do not apply; set "
            "label_values to null."
        )


def binary_encoding(encoding: MaskEncoding, info: DatasetInfo, mask_threshold: float | None = None) -> MaskEncoding:
    """Return the encoding of a dataset with one class and binary masks.

    The masks have a `mask_threshold`, unless the user gives another.

    Raises:
        ValueError: as for `check_classes` and `refuse_label_values`.
    """
    check_classes(encoding, info)
    refuse_label_values(encoding, info)
    threshold = mask_threshold if encoding.mask_threshold is None else encoding.mask_threshold
    return MaskEncoding(encoding.class_names, mask_threshold=threshold)


def label_map_encoding(encoding: MaskEncoding, info: DatasetInfo, label_values: Mapping[str, int]) -> MaskEncoding:
    """Return the encoding of a dataset whose masks are label maps.

    The classes have these `label_values`, unless the user gives others.

    Raises:
        ValueError: as for `check_classes`, and when a threshold is given.
    """
    check_classes(encoding, info)
    if encoding.mask_threshold is not None:
        raise ValueError(
            f"the masks of {info.title} are label maps, and mask_threshold {encoding.mask_threshold} does not apply; "
            "set mask_threshold to null."
        )
    return MaskEncoding(
        encoding.class_names, encoding.label_values or {name: label_values[name] for name in encoding.class_names}
    )
