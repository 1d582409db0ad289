"""The classes that datasets of breast ultrasound share: tumors of either kind, and of any kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from monai_tunevlseg.data.issues import DatasetIssue, sorted_or_raise
from monai_tunevlseg.data.layouts._base import DatasetInfo
from monai_tunevlseg.data.layouts._binary_masks import GRAY_EDGE, SAME_NAMES, Naming, PairedFiles, find_pairs
from monai_tunevlseg.data.layouts._mask_encodings import check_classes, refuse_label_values
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Sample
from monai_tunevlseg.messages import shorten

__all__ = ["ANY_TUMOR", "TUMORS", "check_tumors", "read_tumors", "tumor_samples"]

ANY_TUMOR = "breast tumor"
TUMORS = {"benign": "benign tumor", "malignant": "malignant tumor"}
"""The class of each kind of tumor."""


def check_tumors(encoding: MaskEncoding, info: DatasetInfo) -> None:
    """Refuse label values, and classes other than those of the dataset and `ANY_TUMOR`.

    Raises:
        ValueError: as for `check_classes` and `refuse_label_values`.
    """
    check_classes(encoding, info, (*info.class_names, ANY_TUMOR))
    refuse_label_values(encoding, info)


def tumor_samples(
    class_name: str, image: Path, masks: Path | Sequence[Path], names: Sequence[str], mask_threshold: float | None
) -> list[Sample]:
    """Return a sample for each requested class that an image shows.

    Args:
        class_name: the class of the tumor in the image, which shows `ANY_TUMOR`, too.
        image: the image.
        masks: the mask of the tumor, or the masks of several.
        names: the requested classes.
        mask_threshold: lowest brightness of the foreground; None = masks must be clean.
    """
    shown = [name for name in names if name in (class_name, ANY_TUMOR)]
    return [MaskEncoding([name], mask_threshold=mask_threshold).sample(image, masks, name) for name in shown]


def read_tumors(
    folders: Mapping[Path, Path],
    encoding: MaskEncoding,
    info: DatasetInfo,
    table: Path,
    read_kinds: Callable[[Path], Mapping[str, str]],
    naming: Naming = SAME_NAMES,
) -> list[Case]:
    """Read the cases of a dataset with a table that says whether the tumor of an image is benign or malignant.

    Args:
        folders: the folders of images, each with the folder of its masks.
        encoding: the user's encoding.
        info: facts about the dataset.
        table: the file of the table, which is not needed when the only class is `ANY_TUMOR`.
        read_kinds: reads the kind of the tumor of each image by its stem.
        naming: how the names of images and masks belong together.

    Raises:
        FileNotFoundError: when a folder or the table is missing.
        ValueError: as for `check_tumors`.
        DatasetError: when images and masks do not belong together, or the table does not say the kind of a tumor; it
            names all of them.
    """
    check_tumors(encoding, info)
    pairs, issues = find_pairs(folders, naming)
    classes = _find_classes(pairs, encoding.class_names, table, read_kinds)
    threshold = GRAY_EDGE if encoding.mask_threshold is None else encoding.mask_threshold
    cases = [
        Case(stem, tumor_samples(classes[stem], image, mask, encoding.class_names, threshold))
        for stem, image, mask in pairs
        if stem in classes
    ]
    return sorted_or_raise(cases, issues + _unknown_kinds([pair for pair in pairs if pair.stem not in classes], table))


def _find_classes(
    pairs: Sequence[PairedFiles], names: Sequence[str], table: Path, read_kinds: Callable[[Path], Mapping[str, str]]
) -> dict[str, str]:
    """Return the class of the tumor of each image, by its stem, where it is known."""
    if set(names) == {ANY_TUMOR}:
        return dict.fromkeys((pair.stem for pair in pairs), ANY_TUMOR)
    if not table.is_file():
        raise FileNotFoundError(
            f"no file {table}, which says whether tumors are benign or malignant; unpack it there, or set class_names "
            f"to [{ANY_TUMOR}]."
        )
    classes = {stem: TUMORS.get(kind.lower()) for stem, kind in read_kinds(table).items()}
    return {stem: name for stem, name in classes.items() if name is not None}


def _unknown_kinds(pairs: Sequence[PairedFiles], table: Path) -> list[DatasetIssue]:
    if not pairs:
        return []
    message = (
        f"{table} does not say of {len(pairs)} images whether their tumors are benign or malignant: "
        f"{shorten(pair.stem for pair in pairs)}; replace the file, or set class_names to [{ANY_TUMOR}]."
    )
    return [DatasetIssue("missing", message, (str(table), *(str(pair.image) for pair in pairs)))]
