"""What a dataset's layout is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits

__all__ = ["DatasetInfo", "Layout", "ReadCases", "SplitCases", "draw_published_sizes"]


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a public dataset.

    Args:
        title: its name, as its owner writes it.
        class_names: the texts.
        modality: how its images are made.
        organ: what they show; "none" for open domain.
        sizes: (image, class) pairs of train, val and test in the TuneVLSeg paper's Table 1; 0 where it has none.
        license: the terms of use, in one sentence.
        source: where to ask for it.
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
"""Lists the cases of (dataset_dir, encoding, slice_axis), or raises an error that names what is wrong in the folder."""

SplitCases: TypeAlias = Callable[[Path, Sequence[Case], DrawSplits], Splits]
"""Splits the cases of a dataset_dir, by its owner's lists or folders and by drawing what these leave open."""


@dataclass(frozen=True)
class Layout:
    """How a dataset's folder is laid out.

    Args:
        read: lists its cases.
        info: of the public dataset; None = a layout for any dataset.
        group_pattern: finds the group of a stem, such as its patient, as `build_datalists` describes.
        split: the dataset's own splits; None = 80/10/10 of the groups.
        sequence_of: gives the sequence of a frame by its stem, where splits divide sequences as the paper's do.
    """

    read: ReadCases
    info: DatasetInfo | None = None
    group_pattern: str | None = None
    split: SplitCases | None = None
    sequence_of: Callable[[str], str] | None = None


def draw_published_sizes(train: int, val: int, test: int) -> SplitCases:
    """Make a `Layout.split` that draws splits of the published sizes."""

    def split(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
        return draw([case.stem for case in cases], sizes=(train, val, test))

    return split
