"""Cases of datasets that are given as pictures and label maps of known values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from monai_tunevlseg.data.cases import Case, MaskCoding, shorten
from monai_tunevlseg.data.layouts.files import match
from monai_tunevlseg.data.problems import Problem, finish, map_files
from monai_tunevlseg.data.reading import distinct_values, labels, read_stored_mask

__all__ = ["read_label_maps"]


def read_label_maps(
    dataset_dir: Path,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    coding: MaskCoding,
    problems: Sequence[Problem] = (),
    allowed: Collection[int] | None = None,
    ignore_value: int | None = None,
) -> list[Case]:
    """List a sample for each class that a picture shows; every label map is decoded once.

    Args:
        dataset_dir: the dataset's folder, for messages.
        images: the picture of each stem.
        masks: the label map of each stem.
        coding: the classes and their values.
        problems: what else is wrong.
        allowed: the values that label maps may hold beside 0 and `ignore_value`; None = any.
        ignore_value: pixels of this value are neither foreground nor background.

    Returns:
        the cases, sorted by stem; a case without samples shows none of the classes.

    Raises:
        DatasetError: when there are problems, or a file is missing or cannot be read, sizes differ or a value is
            not allowed; it names all of them.
    """
    more = {} if ignore_value is None else {"ignore_value": ignore_value}

    def read(stem: str) -> Case | Problem:
        mask = masks[stem]
        present = set(distinct_values(labels(read_stored_mask(mask), mask)).tolist())
        strange = sorted(present - {0, ignore_value, *allowed}) if allowed is not None else []
        if strange:
            message = f"{mask} holds the label values {shorten(strange)}, which mean no class; replace the file."
            return Problem("coding", message, (str(mask),))
        shown = [name for name, value in coding.values.items() if value in present]
        return Case(stem, [coding.sample(images[stem], mask, name, **more) for name in shown])

    stems, unmatched = match(dataset_dir, images, {stem: [mask] for stem, mask in masks.items()})
    cases, unreadable = map_files(read, stems, lambda stem: [images[stem], masks[stem]])
    return finish(cases, [*problems, *unmatched, *unreadable])
