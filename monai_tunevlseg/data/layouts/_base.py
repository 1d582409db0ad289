"""Layouts of dataset folders, and the published facts about datasets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits

__all__ = ["DatasetInfo", "Layout", "ReadCases", "SplitCases", "draw_around_test", "draw_published_sizes"]


@dataclass(frozen=True)
class DatasetInfo:
    """Published facts about a dataset.

    Args:
        title: its name, in its owner's spelling.
        class_names: its classes, which are the texts.
        modality: the imaging modality.
        organ: the organ in the images; "none" for open domain.
        sizes: (image, class) pairs of train, val and test in Table 1 of the TuneVLSeg paper; 0 for a split that it does
            not have; all 0 for a dataset that the paper does not use.
        license: the terms of use, in one sentence.
        source: the address to request it from.
        reference: its paper.
    """

    title: str
    class_names: tuple[str, ...]
    modality: str
    organ: str
    sizes: tuple[int, int, int]
    license: str
    source: str
    reference: str


ReadCases: TypeAlias = Callable[[Path, MaskEncoding, int], list[Case]]
"""Returns the cases of (dataset_dir, encoding, slice_axis), sorted by stem; one that shows none of the classes has no
samples. The folder may be that of the dataset or, if it is the only one, the folder around it.

It raises FileNotFoundError when folders or lists are missing, ValueError when an argument does not apply to the
dataset, and DatasetError, which names all issues, when files are missing, wrong or unreadable."""

SplitCases: TypeAlias = Callable[[Path, Sequence[Case], DrawSplits], Splits]
"""Splits the cases of a dataset_dir by its owner's lists or folders, and draws the splits that these do not define."""


@dataclass(frozen=True)
class Layout:
    """How a dataset's folder is laid out.

    Args:
        read: reads its cases.
        info: facts about the public dataset; None = a layout for any dataset.
        group_pattern: regular expression for the group of a stem, such as its patient; None = each image is a group.
        split: returns the dataset's own splits; None = 80/10/10 of the groups.
        sequence_of: returns the sequence of a frame by its stem, when splits divide sequences as the paper's do.
        shown_classes_are_listed: whether an image without a sample of a class is known not to show it; need not be set
            for label maps, which say so themselves.
    """

    read: ReadCases
    info: DatasetInfo | None = None
    group_pattern: str | None = None
    split: SplitCases | None = None
    sequence_of: Callable[[str], str] | None = None
    shown_classes_are_listed: bool = False


def draw_around_test(test: Collection[str], cases: Sequence[Case], draw: DrawSplits, **sizes: Any) -> Splits:
    """Draw train and val from the cases that are not in the owner's test split.

    Args:
        test: the stems of the owner's test split.
        cases: all cases.
        draw: draws splits.
        sizes: `sizes` or `shares` of train, val and test, the last of which is 0.
    """
    drawn = draw([case.stem for case in cases if case.stem not in test], **sizes)
    return drawn | {"test": [case.stem for case in cases if case.stem in test]}


def draw_published_sizes(train: int, val: int, test: int) -> SplitCases:
    """Return a `Layout.split` that draws splits of the published sizes."""

    def split(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
        return draw([case.stem for case in cases], sizes=(train, val, test))

    return split
