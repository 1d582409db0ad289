"""The specification of a dataset: its folder, classes, splits and mask encoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_tunevlseg.data.intensity_windows import check_intensity_window
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.splits import group_by

__all__ = ["CLASS_NAME", "TEXT_SOURCES", "DatasetSpec"]

CLASS_NAME = "class_name"
TEXT_SOURCES = (CLASS_NAME, *(f"p{number}" for number in range(10)))


@dataclass(frozen=True)
class DatasetSpec:
    r"""A dataset's folder, and how it is read.

    Args:
        dataset_dir: the dataset's folder.
        class_names: the classes to learn, in the order of the network's outputs; None = all classes of a public
            dataset.
        layout: how the folder is laid out, one of `LAYOUTS`.
        splits_file: JSON {"train": [stem, ...], "val": [...], "test": [...]}, where val or test may be left out and is
            then drawn from train. None = `splits.json` in the folder; without that, the layout's own splits; without
            those, 80/10/10 drawn from the file names. Images and volumes are never divided.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of volumes.
        label_values: the value of each class in the mask files; None = binary for one class, 1..K in order for K.
        mask_threshold: foreground threshold (0..255] of binary masks, for masks with gray edges (128) or several
            values that all count (1); None = binary masks must be clean.
        group_pattern: a regular expression such as `^(patient\d+)_` that finds the group in a file name; drawn splits
            never divide a group, and given splits that do cause a warning. None = the layout's own.
        neutral_text: a text that replaces all texts, so that the text cannot reveal the content of the mask.
        text_source: "class_name", or "p0" to "p9" for the texts of the published layout `annotations`; of several
            texts for one pair, the hash of its file name chooses one.
        text_sets: further texts of each pair, from which training draws: "published", which are p1 to p9 of the layout
            `annotations`, or a JSON file {class name: [text, ...]}; None = none.
        compared_texts: texts whose masks evaluation compares on the same images, with controls: the class name alone,
            "class_name", and with it "published", which are p1 to p9, or a file as for `text_sets`; None = none.
        mask_ending: the ending of the masks' names beyond those of their images, such as "_mask", in the layout
            `folder`; None = their common ending.
        intensity_window: the values of the image files that become 0 and 1, in their own units; None = the range of a
            picture's type, and of a volume its 0.5 and 99.5 percentiles.
        every_slice: whether slices of a volume that show nothing of a class are pairs too.

    Raises:
        ValueError: when `slice_axis` is not an axis, `text_source` is unknown, `neutral_text` and `text_sets` are both
            given, or `intensity_window` is not two numbers, the lower one first.
    """

    dataset_dir: str | Path
    class_names: Sequence[str] | None = None
    layout: str = "folder"
    splits_file: str | Path | None = None
    slice_axis: int = 2
    label_values: Mapping[str, int] | None = None
    mask_threshold: float | None = None
    group_pattern: str | None = None
    neutral_text: str | None = None
    text_source: str = CLASS_NAME
    mask_ending: str | None = None
    intensity_window: Sequence[float] | None = None
    every_slice: bool = False
    text_sets: str | Path | None = None
    compared_texts: str | Path | None = None

    def __post_init__(self) -> None:
        if self.slice_axis not in (0, 1, 2):
            raise ValueError(f"slice_axis must be 0, 1 or 2, not {self.slice_axis!r}.")
        if self.text_source not in TEXT_SOURCES:
            raise ValueError(f"text_source must be one of {', '.join(TEXT_SOURCES)}, not {self.text_source!r}.")
        if self.neutral_text is not None and self.text_sets is not None:
            raise ValueError(
                f"neutral_text {self.neutral_text!r} replaces all texts, so that text_sets {str(self.text_sets)!r} has "
                "no effect; set one of them to null."
            )
        check_intensity_window(self.intensity_window)

    @property
    def folder(self) -> Path:
        """The folder's absolute path."""
        return Path(self.dataset_dir).expanduser().absolute()

    def encoding(self) -> MaskEncoding:
        """Return the classes, and how masks encode them.

        Raises:
            ValueError: when the layout is unknown, or fits any dataset and no classes are given.
        """
        info = LAYOUTS[self.layout].info
        names = info.class_names if self.class_names is None and info else self.class_names
        if names is None:
            raise ValueError(f"the layout {self.layout!r} is for any dataset; give class_names, such as polyp.")
        return MaskEncoding(names, self.label_values, self.mask_threshold, self.mask_ending, self.every_slice)

    def group_of(self) -> Callable[[str], str] | None:
        """Return the function that finds the group of a stem, such as its patient; None = each image for itself.

        Raises:
            ValueError: when `group_pattern` is not a regular expression.
        """
        pattern = self.group_pattern or LAYOUTS[self.layout].group_pattern
        return group_by(pattern) if pattern else None
