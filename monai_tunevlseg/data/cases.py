"""What every dataset layout takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from monai_tunevlseg.registry import Registry

__all__ = ["LAYOUTS", "Case", "Layout", "MaskCoding", "Sample", "shorten"]

Sample: TypeAlias = dict[str, Any]
"""`image`, `label` (absolute paths), `text`; some: `label_value`, `mask_threshold`, `slice`, `slice_axis`."""


@dataclass(frozen=True)
class Case:
    """One image file, which a split holds or leaves out as a whole.

    Args:
        stem: the name that splits call it by: the file name without suffix.
        samples: its (image, class) pairs, or (slice, class) pairs; none where it shows no class.
    """

    stem: str
    samples: list[Sample]


@dataclass(frozen=True)
class MaskCoding:
    """How mask files code classes.

    Args:
        class_names: what is learned, in the order of the network's outputs.
        label_values: the value of each class in the mask files; None = binary for one class, 1..K in order for K.
        mask_threshold: values of binary masks from here on are foreground; None = binary masks must be clean.

    Raises:
        ValueError: when the names or values contradict each other.
    """

    class_names: Sequence[str]
    label_values: Mapping[str, int] | None = None
    mask_threshold: float | None = None
    values: dict[str, int | None] = field(init=False)
    """The value of each class in `class_names`' order; None = binary."""

    def __post_init__(self) -> None:
        _check_names(self.class_names)
        if self.label_values is not None:
            _check_values(self.class_names, self.label_values)
        object.__setattr__(self, "values", self._values())
        if self.mask_threshold is not None and not self.binary:
            raise ValueError(
                f"mask_threshold {self.mask_threshold} is for binary masks; "
                "with label_values or several classes set it to null."
            )

    @property
    def binary(self) -> bool:
        """Tell whether masks hold one class and no label values."""
        return None in self.values.values()

    def _values(self) -> dict[str, int | None]:
        if self.label_values is not None:
            return {name: self.label_values[name] for name in self.class_names}
        if len(self.class_names) == 1:
            return {self.class_names[0]: None}
        return {name: value for value, name in enumerate(self.class_names, start=1)}

    def sample(self, image: Path, mask: Path, class_name: str, **position: int) -> Sample:
        """Compose the sample of one class; `position` is `slice` and `slice_axis` where the image is a volume."""
        sample: Sample = {"image": str(image), "label": str(mask), "text": class_name}
        if self.values[class_name] is not None:
            sample["label_value"] = self.values[class_name]
        if self.mask_threshold is not None:
            sample["mask_threshold"] = self.mask_threshold
        return sample | position


Layout: TypeAlias = Callable[[Path, MaskCoding, int], list[Case]]
"""Lists the cases of (dataset_dir, coding, slice_axis), or raises an error that names what is wrong in the folder."""

LAYOUTS: Registry[Layout] = Registry("dataset layout")


def shorten(names: Iterable[object], most: int = 10) -> str:
    """List names for a message: at most `most`, then how many more."""
    listed = [str(name) for name in names]
    shown = ", ".join(listed[:most])
    return shown if len(listed) <= most else f"{shown}, ... and {len(listed) - most} more"


def _check_names(class_names: Sequence[str]) -> None:
    if isinstance(class_names, str) or not class_names:
        raise ValueError(f"class_names must be a list of one or more names, such as ['polyp'], not {class_names!r}.")
    wrong = [name for name in class_names if not isinstance(name, str) or not name.strip()]
    if wrong or len(set(class_names)) != len(class_names):
        raise ValueError(f"class_names must be texts, none of them empty or twice, not {list(class_names)!r}.")


def _check_values(class_names: Sequence[str], label_values: Mapping[str, int]) -> None:
    unknown = [name for name in label_values if name not in class_names]
    if unknown:
        raise ValueError(f"label_values has the unknown class {shorten(unknown)}; known are {shorten(class_names)}.")
    missing = [name for name in class_names if name not in label_values]
    if missing:
        raise ValueError(f"label_values has no value for the class {shorten(missing)}; add it.")
    values = list(label_values.values())
    if any(isinstance(value, bool) or not isinstance(value, int) or value == 0 for value in values):
        raise ValueError(f"label_values must be integers other than 0, which is background, not {dict(label_values)}.")
    if len(set(values)) != len(values):
        raise ValueError(f"label_values gives two classes one value: {dict(label_values)}.")
