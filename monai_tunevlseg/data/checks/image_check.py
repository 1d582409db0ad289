"""Checking an image with all of its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from monai_tunevlseg.data.checks.duplicates import REDUCED_SIZE, fine_details, perceptual_hash
from monai_tunevlseg.data.checks.file_traits import FileTraits, image_traits, mask_traits
from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.mask_values import to_binary_mask
from monai_tunevlseg.data.io.orientation import array_axis
from monai_tunevlseg.data.io.pictures import StoredMask, read_gray_picture
from monai_tunevlseg.data.io.reading import read_stored_mask, read_unique_values
from monai_tunevlseg.data.io.run_lengths import parse_run_lengths
from monai_tunevlseg.data.io.volumes import read_volume
from monai_tunevlseg.data.issues import DatasetIssue, issue_from_error, size_issue
from monai_tunevlseg.data.sample_masks import mask_paths
from monai_tunevlseg.data.samples import Sample

__all__ = ["ImageCheck", "check_image"]

MaskKey: TypeAlias = tuple[Path, bool, int | None, float | None]
"""A mask file, whether it is read whole, the label value and the threshold."""


@dataclass
class ImageCheck:
    """Result of checking an image and its masks.

    Args:
        image: the image's path.
        bits: its perceptual hash, bool of shape (HASH_BITS,); None when the image cannot be read.
        details: its fine details, float32 of length 1; None when the image cannot be read.
        issues: issues of the image and its masks.
        empty: for each of its samples, whether the mask is empty; None when it cannot be read.
        traits: peculiarities of the image and its masks.
    """

    image: str
    bits: np.ndarray | None = None
    details: np.ndarray | None = None
    issues: list[DatasetIssue] = field(default_factory=list)
    empty: list[bool | None] = field(default_factory=list)
    traits: list[FileTraits] = field(default_factory=list)


def check_image(image: Path, samples: Sequence[Sample]) -> ImageCheck:
    """Decode an image, a picture or a volume, and every mask of its samples once.

    Returns:
        the result; errors are among its issues.
    """
    check = ImageCheck(str(image))
    shape: tuple[int, ...] | None = None
    try:
        window = samples[0].get("intensity_window") if samples else None
        shape, gray = _decode(image, window)
        check.bits, check.details = perceptual_hash(gray), fine_details(gray)
        check.traits.append(image_traits(image, window is not None))
    except (OSError, ValueError, MemoryError) as error:
        check.issues.append(issue_from_error(error, [image]))
    masks = _Masks(image, shape, check.issues)
    check.empty = [masks.is_empty(sample) for sample in samples]
    check.traits += [mask_traits(path, mask) for path, mask in masks.read()]
    return check


def _decode(image: Path, window: Sequence[float] | None) -> tuple[tuple[int, ...], Image.Image]:
    """Return the stored shape and a gray picture, of a volume the middle slice."""
    if not is_volume_file(image):
        return read_gray_picture(image, REDUCED_SIZE, window)
    values = read_volume(image, intensity_window=window)
    middle = values if values.ndim == 3 else values[len(values) // 2]
    return values.shape[:-1], Image.fromarray((middle * 255).astype(np.uint8)).convert("L")


class _Masks:
    """The masks of one image; each file is decoded and interpreted once, and issues go to a list."""

    def __init__(self, image: Path, shape: tuple[int, ...] | None, issues: list[DatasetIssue]) -> None:
        self.image = image
        self.shape = shape
        self.issues = issues
        self._stored: dict[tuple[Path, bool], StoredMask | None] = {}
        self._shown: dict[MaskKey, np.ndarray | None] = {}

    def is_empty(self, sample: Sample) -> bool | None:
        paths = mask_paths(sample)
        if sample.get("rle") is not None:
            return self._is_empty_code(sample, paths[0])
        shown = [self._show(path, sample) for path in paths]
        parts = [mask for mask in shown if mask is not None]
        if len(parts) < len(shown):
            return None
        if "slice" in sample:
            axis = array_axis(sample.get("slice_axis", 2))
            parts = [mask.take(sample["slice"], axis=axis) for mask in parts]
        return not any(mask.any() for mask in parts)

    def read(self) -> list[tuple[Path, StoredMask]]:
        """Return the readable masks."""
        return [(path, mask) for (path, _), mask in self._stored.items() if mask is not None]

    def _is_empty_code(self, sample: Sample, path: Path) -> bool | None:
        try:
            runs = parse_run_lengths(sample["rle"], path)
        except ValueError as error:
            self.issues.append(issue_from_error(error, [path]))
            return None
        self._compare(path, sample["rle"]["size"])
        return not any(runs[1::2])

    def _show(self, path: Path, sample: Sample) -> np.ndarray | None:
        """Return the class's area in a whole volume, or the values of a picture that mean the class."""
        key = (path, "slice" in sample, sample.get("label_value"), sample.get("mask_threshold"))
        if key not in self._shown:
            self._shown[key] = None
            stored = self._read(*key[:2])
            try:
                if stored is not None:
                    self._shown[key] = to_binary_mask(stored, path, *key[2:])
            except ValueError as error:
                self.issues.append(DatasetIssue("encoding", str(error), (str(path),)))
        return self._shown[key]

    def _read(self, path: Path, whole: bool) -> StoredMask | None:
        if (path, whole) not in self._stored:
            self._stored[path, whole] = None
            try:
                shape, mask = _read_whole(path, self.image) if whole else read_unique_values(path, self.image)
                self._compare(path, shape)
                self._stored[path, whole] = mask
            except (OSError, ValueError, MemoryError) as error:
                self.issues.append(issue_from_error(error, [path]))
        return self._stored[path, whole]

    def _compare(self, path: Path, shape: Sequence[int]) -> None:
        if self.shape is not None and tuple(shape) != tuple(self.shape):
            self.issues.append(size_issue(self.image, self.shape, path, shape))


def _read_whole(path: Path, image: Path) -> tuple[tuple[int, ...], StoredMask]:
    mask = read_stored_mask(path, like=image)
    return mask.values.shape, mask
