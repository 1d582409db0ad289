"""What every dataset layout takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from monai_tunevlseg.registry import Registry

__all__ = [
    "LAYOUTS",
    "SPLIT_NAMES",
    "Case",
    "Draw",
    "Facts",
    "Layout",
    "MaskCoding",
    "Read",
    "Sample",
    "Split",
    "Splits",
    "shorten",
]

SPLIT_NAMES = ("train", "val", "test")
Splits: TypeAlias = dict[str, list[str]]
"""The stems of `train`, `val` and `test`."""
Sample: TypeAlias = dict[str, Any]
"""One (image, class) pair as plain JSON.

- `image`: absolute path.
- `label`: absolute path of the mask, a list of paths of masks that are united, or of the JSON file that has the `rle`.
- `class_name`: which class the mask shows.
- `text`: what the network is told to look for; the class name unless `neutral_text` or `text_source` say otherwise.
- `label_value`: the value of the class in the mask; without it, the mask is binary.
- `mask_threshold`: brightness, 0..255, from which on a binary mask is foreground (see `reading.foreground`).
- `ignore_value`: pixels of this value in the mask are neither foreground nor background.
- `rle`: {"size": [H, W], "counts": text}, COCO's compressed run-length code of the mask.
- `slice`, `slice_axis`: which slice of an upright volume: sagittal (0) ones are counted from the patient's right,
  coronal (1) ones from the front, axial (2) ones from the top.
- `intensity_window`: the values of the image file that become 0 and 1.
- `group`: the patient, or what else `group_pattern` finds; `build_datalists` adds it.
- `texts`: {"p0": text or list of texts, ...}, from which `text_source` chooses; `build_datalists` takes it out.
"""


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
        label_values: the value of each class in the mask files, of which one of several may be 0; None = binary for one
            class, 1..K in order for K.
        mask_threshold: brightness in (0, 255] from which on binary masks are foreground; None = they must be clean.
        mask_ending: what the names of masks end in beyond those of their images, such as "_mask", in the layout
            `folder`; None = what the names of all of them end in.
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
    """The value of each class in `class_names`' order; None = binary."""

    def __post_init__(self) -> None:
        _check_names(self.class_names)
        if self.label_values is not None:
            _check_values(self.class_names, self.label_values)
        object.__setattr__(self, "values", self._values())
        if self.mask_threshold is not None:
            _check_threshold(self.mask_threshold)
        if self.mask_threshold is not None and not self.binary:
            raise ValueError(
                f"mask_threshold {self.mask_threshold} is for binary masks; "
                "with label_values or several classes set it to null."
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
        """Compose the sample of one class.

        Args:
            image: the image's file.
            mask: the mask's file, or several whose union is the mask.
            class_name: one of `class_names`.
            **more: whatever else of `Sample` applies: `slice` and `slice_axis`, `ignore_value`, `rle`, `texts`.
        """
        label = str(mask) if isinstance(mask, Path) else [str(path) for path in mask]
        sample: Sample = {"image": str(image), "label": label, "text": class_name, "class_name": class_name}
        if self.values[class_name] is not None:
            sample["label_value"] = self.values[class_name]
        if self.mask_threshold is not None:
            sample["mask_threshold"] = self.mask_threshold
        return sample | more


@dataclass(frozen=True)
class Facts:
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


class Draw(Protocol):
    """Draws splits of stems by the hash of their names; groups, such as patients, are never divided."""

    def __call__(
        self,
        stems: Iterable[str],
        *,
        sizes: tuple[int, int, int] | None = None,
        shares: tuple[int, int, int] | None = None,
        weights: Mapping[str, int] | None = None,
    ) -> Splits:
        """Draw so many groups, with a warning where there are not that many, or shares of them; default 8:1:1.

        `weights` says what each stem counts, where that is not the number of groups.
        """


Read: TypeAlias = Callable[[Path, MaskCoding, int], list[Case]]
"""Lists the cases of (dataset_dir, coding, slice_axis), or raises an error that names what is wrong in the folder."""

Split: TypeAlias = Callable[[Path, Sequence[Case], Draw], Splits]
"""Splits the cases of a dataset_dir, by its owner's lists or folders and by drawing what these leave open."""


@dataclass(frozen=True)
class Layout:
    """How a dataset's folder is laid out.

    Args:
        read: lists its cases.
        facts: of the public dataset; None = a layout for any dataset.
        group_pattern: finds the group of a stem, such as its patient, as `build_datalists` describes.
        split: the dataset's own splits; None = 80/10/10 of the groups.
        sequence_of: gives the sequence of a frame by its stem, where splits divide sequences as the paper's do.
    """

    read: Read
    facts: Facts | None = None
    group_pattern: str | None = None
    split: Split | None = None
    sequence_of: Callable[[str], str] | None = None


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
    if any(isinstance(value, bool) or not isinstance(value, int) for value in values):
        raise ValueError(f"label_values must be integers, not {dict(label_values)}.")
    if values == [0]:
        raise ValueError(
            f"label_values {dict(label_values)} gives the only class the value 0, which is background then; give the "
            "value that the masks hold where the class is."
        )
    if len(set(values)) != len(values):
        raise ValueError(f"label_values gives two classes one value: {dict(label_values)}.")


def _check_threshold(mask_threshold: float) -> None:
    number = isinstance(mask_threshold, int | float) and not isinstance(mask_threshold, bool)
    if not number or not 0 < mask_threshold <= 255:
        raise ValueError(
            f"mask_threshold must be a brightness above 0 and at most 255, such as 128, not {mask_threshold!r}."
        )
