"""Forms of dataset folders, and what all of them need: the cases to write, and their masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from monai_tunevlseg.data.dataset_spec import DatasetSpec
from monai_tunevlseg.data.issues import DatasetError, map_files
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX, read_sample_mask, whole_volume
from monai_tunevlseg.data.samples import Case, Splits

__all__ = ["ConvertedDataset", "Form", "SourceDataset", "WriteDataset", "image_of", "read_masks", "to_label_map"]


@dataclass(frozen=True)
class SourceDataset:
    """A dataset to write.

    Args:
        spec: how it is read.
        cases: its images that are in a split and have samples.
        splits: the stems of these images.
        class_names: the requested classes, then others that samples have.
        names: the name of each stem in the new dataset, which can be that of a file.
        output: the folder of the new dataset.
    """

    spec: DatasetSpec
    cases: Sequence[Case]
    splits: Splits
    class_names: tuple[str, ...]
    names: Mapping[str, str]
    output: Path

    @property
    def has_ignored_pixels(self) -> bool:
        """Whether masks may hold pixels that are neither foreground nor background."""
        return any("ignore_value" in sample for case in self.cases for sample in case.samples)

    def write_cases(self, write: Callable[[Case], None], advanced: Callable[[], None]) -> None:
        """Call a function that writes a case for each, on all cores, and `advanced` after it.

        Raises:
            DatasetError: when cases cannot be read; it names all of them.
        """

        def write_one(case: Case) -> None:
            write(case)
            advanced()

        _, issues = map_files(write_one, self.cases, lambda case: [image_of(case)])
        if issues:
            raise DatasetError(issues, [])


@dataclass(frozen=True)
class ConvertedDataset:
    """A dataset in its new form.

    Args:
        folder: its folder.
        masks: the form of its masks, in words.
        class_names: its classes.
        images: the number of images.
        pairs: the number of (image, class) pairs, or (slice, class) pairs of volumes.
        usage: lines that show how to use it.
    """

    folder: Path
    masks: str
    class_names: tuple[str, ...]
    images: int
    pairs: int
    usage: tuple[str, ...]

    @classmethod
    def of(
        cls, source: SourceDataset, masks: str, class_names: tuple[str, ...], usage: Sequence[str]
    ) -> ConvertedDataset:
        """Return the description of a dataset with all cases of its source."""
        pairs = sum(len(case.samples) for case in source.cases)
        return cls(source.output, masks, class_names, len(source.cases), pairs, tuple(usage))


WriteDataset: TypeAlias = Callable[[SourceDataset, Path, Callable[[], None]], ConvertedDataset]
"""Writes a dataset into an empty folder, which is renamed to `output` later; calls its last argument after each image.

It raises ValueError when the dataset cannot have this form."""


@dataclass(frozen=True)
class Form:
    """How a new dataset is laid out.

    Args:
        write: writes the dataset.
        check_name: raises ValueError when the folder of the new dataset cannot have this name.
    """

    write: WriteDataset
    check_name: Callable[[Path], None] = lambda folder: None


def image_of(case: Case) -> Path:
    """Return the image of a case with samples."""
    return Path(case.samples[0]["image"])


def read_masks(case: Case) -> dict[str, np.ndarray]:
    """Read the mask of each class, uint8 of the image's shape: 0 background, 1 foreground, 255 ignored."""
    samples = {sample["class_name"]: sample for sample in case.samples}
    return {name: read_sample_mask(whole_volume(sample)) for name, sample in samples.items()}


def to_label_map(masks: Mapping[str, np.ndarray], values: Mapping[str, int], ignore_value: int) -> np.ndarray:
    """Unite masks of classes that do not overlap.

    Args:
        masks: the mask of each class, as `read_masks` returns them; those without a value are empty.
        values: the value of each class.
        ignore_value: the value of ignored pixels.

    Returns:
        uint8 of the shape of a mask.
    """
    united = np.zeros(next(iter(masks.values())).shape, np.uint8)
    for name, mask in masks.items():
        united[mask == IGNORE_INDEX] = ignore_value
        if name in values:
            united[mask == 1] = values[name]
    return united
