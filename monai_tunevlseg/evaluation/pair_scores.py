"""The scores of each (image, text) pair of an evaluation, one row of ``pairs.csv`` per pair."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from monai_tunevlseg.csv_files import read_csv, write_csv
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.messages import shorten

__all__ = ["PairKey", "PairScores", "pair_name", "read_pair_scores", "write_pair_scores"]

COUNTS = ("label_pixels", "predicted_pixels", "label_pixels_original", "predicted_pixels_original")
KEY = ("image", "slice", "class_name")
PairKey = tuple[str, int | None, str]  # image, slice and class name


@dataclass(frozen=True)
class PairScores:
    """The scores of one (image, text) pair, in percent unless stated otherwise; None where not measured.

    Attributes:
        image: path of the image file, relative to the folder of the dataset if it is inside.
        slice: number of the slice if the file is a volume; None otherwise.
        class_name: name of the class that the mask shows.
        text: the text that was given to the network.
        group: the patient, or another group of files that belong together; None = the file is a group of its own.
        dice: Dice at the model's resolution; 100 when prediction and mask are both empty, as all scores in percent.
        iou: intersection over union at the model's resolution.
        dice_original: Dice at the image's own resolution.
        iou_original: intersection over union at the image's own resolution.
        hd95: 95th percentile of the Hausdorff distance in pixels of the image; None where mask or prediction is empty.
        surface_dice: normalized surface Dice at the image's own resolution.
        label_pixels: area of the mask at the model's resolution, without ignored pixels, as all areas; None, as all
            values at this resolution, for predictions of another tool.
        predicted_pixels: area of the prediction at the model's resolution.
        label_pixels_original: area of the mask at the image's own resolution.
        predicted_pixels_original: area of the prediction at the image's own resolution.
        mask: path of the predicted mask's file, relative to ``pairs.csv``; None if it was not kept.
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
    label_pixels: int | None = None
    predicted_pixels: int | None = None
    label_pixels_original: int = 0
    predicted_pixels_original: int = 0
    mask: str | None = None

    @property
    def key(self) -> PairKey:
        """Key that identifies the pair in its dataset."""
        return self.image, self.slice, self.class_name

    @property
    def cluster(self) -> str:
        """Cluster of the pair in a bootstrap: the group, or the file if it has none."""
        return self.group or self.image

    def score(self, name: str) -> float | None:
        """Return one of the scores by its name."""
        value: float | None = getattr(self, name)
        return value

    def has_foreground(self, name: str) -> bool:
        """Return whether the mask is not empty at the resolution of the score of this name."""
        return bool(getattr(self, PAIR_METRICS[name].area))


def pair_name(key: PairKey) -> str:
    """Return the name of a pair in messages."""
    image, number, class_name = key
    return f"{image}{'' if number is None else f' slice {number}'} {class_name!r}"


def write_pair_scores(path: Path, pairs: Sequence[PairScores]) -> None:
    """Write one row per pair, atomically; None is an empty cell."""
    write_csv(path, [field.name for field in fields(PairScores)], (asdict(pair) for pair in pairs))


def read_pair_scores(path: str | Path, required: Sequence[str] = ("dice",)) -> list[PairScores]:
    """Read a file that :func:`write_pair_scores` has written.

    Args:
        path: the file, or the folder of an evaluation that holds ``pairs.csv``.
        required: names of the scores that the file must have.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is not such a table; names the column or the row.
    """
    path = Path(path)
    path = path / "pairs.csv" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; evaluate.yaml writes it into its output_dir.")
    names, rows = read_csv(path)
    needed = {*KEY, *required, *(PAIR_METRICS[name].area for name in required)}
    if missing := [field.name for field in fields(PairScores) if field.name in needed and field.name not in names]:
        raise ValueError(f"{path} has no column {shorten(missing)}; it is not a pairs.csv that evaluate.yaml wrote.")
    if not rows:
        raise ValueError(f"{path} has no rows.")
    pairs = [_parse(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]
    if twice := [key for key, count in Counter(pair.key for pair in pairs).items() if count > 1]:
        raise ValueError(f"{path} has more than one row for {shorten(twice, most=3)}; a pair has one row.")
    return pairs


def _parse(row: Mapping[str | None, str | None], where: str) -> PairScores:
    """Read one row; unknown columns are ignored."""
    if None in row or None in row.values():
        raise ValueError(f"{where} has a different number of cells than the header.")
    cells = {field.name: row.get(field.name) or None for field in fields(PairScores)}
    if not cells["image"] or not cells["class_name"]:
        raise ValueError(f"{where} lacks the image or the class_name.")
    numbers: dict[str, float | None] = {
        name: _number(cells[name], name, f"{where}, column {name!r}") for name in ("slice", *PAIR_METRICS, *COUNTS)
    }
    whole = {name: None if (number := numbers[name]) is None else int(number) for name in ("slice", *COUNTS)}
    of_image = {name: whole[name] or 0 for name in COUNTS if name.endswith("_original")}
    return PairScores(**{**cells, **numbers, **whole, **of_image, "text": cells["text"] or ""})  # type: ignore[arg-type]


def _number(cell: str | None, name: str, where: str) -> float | None:
    """Return the number in a cell: slices and areas are integers, and percentages are at most 100."""
    if cell is None:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} holds {cell!r} instead of a number.")
    highest = 100.0 if name in PAIR_METRICS and PAIR_METRICS[name].unit == "%" else math.inf
    if not 0 <= value <= highest or (name not in PAIR_METRICS and not value.is_integer()):
        kind = f"a number from 0 to {highest:g}" if name in PAIR_METRICS else "an integer of 0 or more"
        raise ValueError(f"{where} holds {cell!r} instead of {kind}.")
    return value
