"""Which dataset, read how: what checking and exporting are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_tunevlseg.data.intensity_windows import check_intensity_window
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.mask_encoding import MaskEncoding

__all__ = ["DatasetSpec"]


@dataclass(frozen=True)
class DatasetSpec:
    """Which dataset, read how.

    Args:
        layout: one of `LAYOUTS`.
        dataset_dir: the folder.
        class_names: None = all classes of a public dataset.
        splits_file: this one and the others as `build_datalists` takes them.

    Raises:
        ValueError: when `slice_axis` is not an axis, or `intensity_window` not two numbers, the lower one first.
    """

    layout: str
    dataset_dir: Path
    class_names: Sequence[str] | None = None
    splits_file: Path | None = None
    slice_axis: int = 2
    label_values: Mapping[str, int] | None = None
    mask_threshold: float | None = None
    group_pattern: str | None = None
    neutral_text: str | None = None
    text_source: str = "class_name"
    mask_ending: str | None = None
    intensity_window: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.slice_axis not in (0, 1, 2):
            raise ValueError(f"slice_axis must be 0, 1 or 2, not {self.slice_axis!r}.")
        check_intensity_window(self.intensity_window)

    @property
    def folder(self) -> Path:
        """The folder's absolute path."""
        return self.dataset_dir.expanduser().absolute()

    def encoding(self) -> MaskEncoding:
        """Return the classes that are asked for, and their encoding.

        Raises:
            ValueError: when the layout is unknown, or for any dataset and no classes are given.
        """
        info = LAYOUTS[self.layout].info
        names = self.class_names or (info.class_names if info else None)
        if names is None:
            raise ValueError(f"the layout {self.layout!r} is for any dataset; give class_names, such as polyp.")
        return MaskEncoding(tuple(names), self.label_values, self.mask_threshold, self.mask_ending)
