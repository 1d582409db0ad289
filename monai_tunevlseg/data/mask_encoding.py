"""How mask files encode classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.messages import shorten

__all__ = ["MaskEncoding"]


@dataclass(frozen=True)
class MaskEncoding:
    """How mask files encode classes.

    Args:
        class_names: the classes, in the order of the network's outputs.
        label_values: the value of each class in the mask files; with several classes, one value may be 0. None = binary
            for one class, 1..K in order for K.
        mask_threshold: lowest brightness in (0, 255] of the foreground of binary masks; None = masks must be clean.
        mask_ending: the ending of the masks' names beyond those of their images, such as "_mask", in the layout
            `folder`; None = their common ending.
        every_slice: whether slices of a volume that show nothing of a class are pairs too.

    Raises:
        ValueError: when the names or values contradict each other, or the threshold is out of range.
    """

    class_names: Sequence[str]
    label_values: Mapping[str, int] | None = None
    mask_threshold: float | None = None
    mask_ending: str | None = None
    every_slice: bool = False
    values: dict[str, int | None] = field(init=False)
    """The value of each class, in the order of `class_names`; None = binary."""

    def __post_init__(self) -> None:
        _check_names(self.class_names)
        if self.label_values is not None:
            _check_values(self.class_names, self.label_values)
        object.__setattr__(self, "values", self._values())
        if self.mask_threshold is not None:
            _check_threshold(self.mask_threshold)
        if self.mask_threshold is not None and not self.binary:
            raise ValueError(
                f"mask_threshold {self.mask_threshold} applies to binary masks only; "
                "with label_values or several classes, set it to null."
            )

    @property
    def binary(self) -> bool:
        """Whether masks hold one class and no label values."""
        return None in self.values.values()

    def _values(self) -> dict[str, int | None]:
        if self.label_values is not None:
            return {name: self.label_values[name] for name in self.class_names}
        if len(self.class_names) == 1:
            return {self.class_names[0]: None}
        return {name: value for value, name in enumerate(self.class_names, start=1)}

    def sample(self, image: Path, mask: Path | Sequence[Path], class_name: str, **more: Any) -> Sample:
        """Return the sample of one class.

        Args:
            image: the image's file.
            mask: the mask's file, or several files whose union is the mask.
            class_name: one of `class_names`.
            **more: further keys of `Sample`: `slice` and `slice_axis`, `ignore_value`, `rle`, `texts`.
        """
        label = str(mask) if isinstance(mask, Path) else [str(path) for path in mask]
        sample: Sample = {"image": str(image), "label": label, "text": class_name, "class_name": class_name}
        if self.values[class_name] is not None:
            sample["label_value"] = self.values[class_name]
        if self.mask_threshold is not None:
            sample["mask_threshold"] = self.mask_threshold
        return sample | more


def _check_names(class_names: Sequence[str]) -> None:
    if isinstance(class_names, str) or not class_names:
        raise ValueError(f"class_names must be a list of one or more names, such as ['polyp'], not {class_names!r}.")
    wrong = [name for name in class_names if not isinstance(name, str) or not name.strip()]
    if wrong or len(set(class_names)) != len(class_names):
        raise ValueError(f"class_names must be distinct texts that are not empty, not {list(class_names)!r}.")


def _check_values(class_names: Sequence[str], label_values: Mapping[str, int]) -> None:
    unknown = [name for name in label_values if name not in class_names]
    if unknown:
        raise ValueError(f"label_values has the unknown class {shorten(unknown)}; known are {shorten(class_names)}.")
    missing = [name for name in class_names if name not in label_values]
    if missing:
        raise ValueError(f"label_values has no value for the class {shorten(missing)}; add it.")
    values = list(label_values.values())
    if any(isinstance(value, bool) or not isinstance(value, int) for value in values):
        raise ValueError(f"label_values must be integers, not {dict(label_values)}.")
    if values == [0]:
        raise ValueError(
            f"label_values {dict(label_values)} gives the only class the value 0, which is the background; give the "
            "value of the class in the masks."
        )
    if len(set(values)) != len(values):
        raise ValueError(f"label_values gives two classes the same value: {dict(label_values)}.")


def _check_threshold(mask_threshold: float) -> None:
    number = isinstance(mask_threshold, int | float) and not isinstance(mask_threshold, bool)
    if not number or not 0 < mask_threshold <= 255:
        raise ValueError(
            f"mask_threshold must be a brightness above 0 and at most 255, such as 128, not {mask_threshold!r}."
        )
