"""Reading datasets of pictures with label maps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from monai_tunevlseg.data.io.mask_values import distinct_values, to_label_map
from monai_tunevlseg.data.io.reading import read_stored_mask
from monai_tunevlseg.data.issues import DatasetIssue, map_files, sorted_or_raise
from monai_tunevlseg.data.layouts._pairing import pair_masks
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case
from monai_tunevlseg.messages import shorten

__all__ = ["read_label_maps"]


def read_label_maps(
    dataset_dir: Path,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    encoding: MaskEncoding,
    issues: Sequence[DatasetIssue] = (),
    allowed: Collection[int] | None = None,
    ignore_value: int | None = None,
) -> list[Case]:
    """Return a sample for each class that a picture shows; every label map is decoded once.

    Args:
        dataset_dir: the dataset's folder, for messages.
        images: the picture of each stem.
        masks: the label map of each stem.
        encoding: the classes and their values.
        issues: issues found before.
        allowed: the values that label maps may hold in addition to 0 and `ignore_value`; None = any.
        ignore_value: the value of ignored pixels.

    Returns:
        the cases, sorted by stem; a case without samples shows none of the classes.

    Raises:
        DatasetError: when there are issues, or files are missing or unreadable, sizes differ or values are not allowed;
            it names all of them.
    """
    more = {} if ignore_value is None else {"ignore_value": ignore_value}

    def read(stem: str) -> Case | DatasetIssue:
        mask = masks[stem]
        present = set(distinct_values(to_label_map(read_stored_mask(mask), mask)).tolist())
        unexpected = sorted(present - {0, ignore_value, *allowed}) if allowed is not None else []
        if unexpected:
            message = f"{mask} holds the label values {shorten(unexpected)}, which are not classes; replace the file."
            return DatasetIssue("encoding", message, (str(mask),))
        shown = [name for name, value in encoding.values.items() if value in present]
        return Case(stem, [encoding.sample(images[stem], mask, name, **more) for name in shown])

    stems, unmatched = pair_masks(dataset_dir, images, {stem: [mask] for stem, mask in masks.items()})
    cases, unreadable = map_files(read, stems, lambda stem: [images[stem], masks[stem]])
    return sorted_or_raise(cases, [*issues, *unmatched, *unreadable])
