"""The cases of an evaluation: one row of ``pairs.csv`` per (image, class) pair."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from monai_tunevlseg.csv_files import read_csv, write_csv
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.messages import shorten

__all__ = ["PairScores", "read_pair_scores", "write_pair_scores"]

COUNTS = ("label_pixels", "predicted_pixels", "label_pixels_original", "predicted_pixels_original")
KEY = ("image", "slice", "class_name")


@dataclass(frozen=True)
class PairScores:
    """One (image, class) pair. Scores are in percent unless they say otherwise, None where they were not measured.

    Attributes:
        image: path of the image file, relative to the dataset's folder where it lies inside.
        slice: number of the slice, where the file is a volume; None otherwise.
        class_name: which class the mask shows.
        text: what the network was told to look for.
        group: the patient, or whatever belongs together more closely than files do; None = the file is its own.
        dice: at the model's resolution; 100 when prediction and mask are both empty, as for all scores in percent.
        iou: at the model's resolution.
        dice_original: at the image's own resolution.
        iou_original: at the image's own resolution.
        hd95: 95th percentile of the Hausdorff distance in pixels of the image; None where mask or prediction is empty.
        surface_dice: normalized surface Dice at the image's own resolution.
        label_pixels: area of the mask at the model's resolution, without ignored pixels, as for all areas.
        predicted_pixels: area of the prediction at the model's resolution.
        label_pixels_original: area of the mask at the image's own resolution.
        predicted_pixels_original: area of the prediction at the image's own resolution.
        mask: path of the predicted mask's file, relative to ``pairs.csv``; None when none was kept.
    """

    image: str
    slice: int | None
    class_name: str
    text: str
    group: str | None = None
    dice: float | None = None
    iou: float | None = None
    dice_original: float | None = None
    iou_original: float | None = None
    hd95: float | None = None
    surface_dice: float | None = None
    label_pixels: int = 0
    predicted_pixels: int = 0
    label_pixels_original: int = 0
    predicted_pixels_original: int = 0
    mask: str | None = None

    @property
    def key(self) -> tuple[str, int | None, str]:
        """What tells the case from all others of its dataset."""
        return self.image, self.slice, self.class_name

    @property
    def cluster(self) -> str:
        """What is drawn as a whole in a bootstrap: the group, or the file where there is none."""
        return self.group or self.image

    def score(self, name: str) -> float | None:
        """Return one of the scores by its name."""
        value: float | None = getattr(self, name)
        return value

    def has_foreground(self, name: str) -> bool:
        """Return whether the mask is not empty at the resolution of the score of this name."""
        area: int = getattr(self, PAIR_METRICS[name].area)
        return area > 0


def write_pair_scores(path: Path, cases: Sequence[PairScores]) -> None:
    """Write one row per case; what is None is an empty cell. An interrupted write leaves no trace."""
    write_csv(path, [field.name for field in fields(PairScores)], (asdict(case) for case in cases))


def read_pair_scores(path: str | Path, required: Sequence[str] = ("dice",)) -> list[PairScores]:
    """Read what :func:`write_pair_scores` has written.

    Args:
        path: the file, or the folder of an evaluation that holds ``pairs.csv``.
        required: the scores that are needed.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no such table; the message names the column or the line.
    """
    path = Path(path)
    path = path / "pairs.csv" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; evaluate.yaml writes it into its output_dir.")
    names, rows = read_csv(path)
    needed = {*KEY, *required, *(PAIR_METRICS[name].area for name in required)}
    if missing := [field.name for field in fields(PairScores) if field.name in needed and field.name not in names]:
        raise ValueError(f"{path} has no column {shorten(missing)}; it is not a pairs.csv that evaluate.yaml wrote.")
    if not rows:
        raise ValueError(f"{path} has no rows.")
    cases = [_parse(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]
    if twice := [key for key, count in Counter(case.key for case in cases).items() if count > 1]:
        raise ValueError(f"{path} has more than one row for {shorten(twice, most=3)}; a pair can be there once.")
    return cases


def _parse(row: Mapping[str | None, str | None], where: str) -> PairScores:
    """Read one row; columns that a case does not have are passed over."""
    if None in row or None in row.values():
        raise ValueError(f"{where} has another number of cells than the head of the table.")
    cells = {field.name: row.get(field.name) or None for field in fields(PairScores)}
    if not cells["image"] or not cells["class_name"]:
        raise ValueError(f"{where} names no image or no class_name.")
    numbers: dict[str, float | None] = {
        name: _number(cells[name], name, f"{where}, column {name!r}") for name in ("slice", *PAIR_METRICS, *COUNTS)
    }
    whole = {name: int(numbers[name] or 0) for name in COUNTS}
    slice_number = None if numbers["slice"] is None else int(numbers["slice"])
    return PairScores(**{**cells, **numbers, **whole, "slice": slice_number, "text": cells["text"] or ""})  # type: ignore[arg-type]


def _number(cell: str | None, name: str, where: str) -> float | None:
    """Return the number in a cell; slices and areas are whole, and no percentage is above 100."""
    if cell is None:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} holds {cell!r} where a number is expected.")
    highest = 100.0 if name in PAIR_METRICS and PAIR_METRICS[name].unit == "%" else math.inf
    if not 0 <= value <= highest or (name not in PAIR_METRICS and not value.is_integer()):
        kind = f"a number from 0 to {highest:g}" if name in PAIR_METRICS else "a whole number, 0 or more,"
        raise ValueError(f"{where} holds {cell!r} where {kind} is expected.")
    return value
