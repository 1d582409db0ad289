"""How well a network obeys its text: what it segments for texts that do not apply, and whether it tells them apart.

All areas are at the image's own resolution, without ignored pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from sklearn.metrics import matthews_corrcoef

from monai_tunevlseg.csv_files import read_csv, write_csv
from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.pair_scores import PairScores

__all__ = ["ABSENT_PAIRS", "AbsentPair", "read_absent_pairs", "summarize_obedience", "write_absent_pairs"]

ABSENT_PAIRS = "absent_pairs.csv"

IOU_THRESHOLDS = range(50, 100, 5)
"""In percent, as COCO's and SAM 3's."""


@dataclass(frozen=True)
class AbsentPair:
    """An image, or a slice, and a text that it does not show.

    Attributes:
        image: path of the image file, as in `PairScores`.
        slice: number of the slice if the file is a volume; None otherwise.
        text: the text that was given to the network.
        group: the patient, or another group of files that belong together.
        predicted_pixels_original: area of the prediction, which is wrong.
        pixels_original: area of the image.
    """

    image: str
    slice: int | None
    text: str
    group: str | None
    predicted_pixels_original: int
    pixels_original: int

    @property
    def cluster(self) -> str:
        """Cluster of the pair in a bootstrap, that of the image's other pairs."""
        return self.group or self.image

    @property
    def false_positive_area(self) -> float:
        """Area of the prediction in percent of the image; 0 where all of it is ignored."""
        return 100 * self.predicted_pixels_original / max(1, self.pixels_original)


def write_absent_pairs(path: Path, pairs: Iterable[AbsentPair]) -> None:
    """Write one row per pair, atomically."""
    write_csv(path, [field.name for field in fields(AbsentPair)], (asdict(pair) for pair in pairs))


def read_absent_pairs(path: Path) -> list[AbsentPair]:
    """Read a file that :func:`write_absent_pairs` has written.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is not such a table; names the row.
    """
    _, rows = read_csv(path)
    return [_parse(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


def _parse(row: Mapping[str | None, str | None], where: str) -> AbsentPair:
    try:
        sizes = {name: int(row[name] or "") for name in ("predicted_pixels_original", "pixels_original")}
        number = int(row["slice"]) if row["slice"] else None
        return AbsentPair(row["image"] or "", number, row["text"] or "", row["group"] or None, **sizes)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{where} is not a row of {ABSENT_PAIRS}: {error}.") from error


def summarize_obedience(
    pairs: Sequence[PairScores], absent: Sequence[AbsentPair], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Return how a network reacts to texts that do not apply, and how well it tells whether they do.

    Args:
        pairs: all evaluated pairs, among them slices that do not show their class.
        absent: the absent texts of the same images.
        bootstrap: settings of the intervals.

    Returns:
        ``pairs`` of an image and an absent text, the different ``texts`` in them; ``false_positive_rate``, the
        percentage of these pairs with any foreground; ``false_positive_area``, its mean area in percent of the image;
        ``intervals`` of both; ``presence``, see :func:`summarize_presence`, of all ``pairs`` and ``absent``;
        ``by_text``, rate and area of each absent text; ``by_class``, ``presence`` of each class. Undefined values are
        None.
    """
    texts = sorted({pair.text for pair in absent})
    class_names = sorted({pair.class_name for pair in pairs})
    rates, areas = _rates(absent), [pair.false_positive_area for pair in absent]
    clusters = [pair.cluster for pair in absent]
    return {
        "texts": len(texts),
        **_summarize_false_positives(absent),
        "intervals": {
            "false_positive_rate": bootstrap.interval(rates, clusters),
            "false_positive_area": bootstrap.interval(areas, clusters),
        },
        "presence": summarize_presence(pairs, absent),
        "by_text": {text: _summarize_false_positives([pair for pair in absent if pair.text == text]) for text in texts},
        "by_class": {
            name: summarize_presence(
                [pair for pair in pairs if pair.class_name == name], [pair for pair in absent if pair.text == name]
            )
            for name in class_names
        },
    }


def summarize_presence(pairs: Sequence[PairScores], absent: Sequence[AbsentPair]) -> dict[str, Any]:
    """Return how well masks tell whether an image shows a text, and show the right place, as SAM 3's cgF1 measures it.

    A text is present where the mask of the pair has any foreground, and found where the prediction has any; pairs with
    an empty mask are absent as all absent texts are. SAM 3 (Carion et al., SAM 3: Segment Anything with Concepts, 2025)
    matches instances above a confidence; here the mask of a pair is one instance. A present pair is a true positive
    where the IoU reaches a threshold; below it, a prediction with foreground is a false positive and a false negative,
    and an empty one a false negative. A network that finds all of several objects but one is thus scored by its area.

    Returns:
        ``present`` and ``absent``, numbers of pairs; ``image_level_mcc``, Matthews' correlation of present and found in
        -1..1, 0 if all predictions or none have foreground; ``positive_micro_f1`` in percent, 2 TP / (2 TP + FP + FN)
        over the present pairs, as the mean over the IoU thresholds 0.50, 0.55, ..., 0.95; ``cgf1``, the product of
        both. A score is None where it is undefined: no text is present, or for the correlation none is absent.
    """
    truth = [pair.label_pixels_original > 0 for pair in pairs] + [False] * len(absent)
    sizes = [pair.predicted_pixels_original for pair in pairs] + [pair.predicted_pixels_original for pair in absent]
    found = [size > 0 for size in sizes]
    correlation = float(matthews_corrcoef(truth, found)) if len(set(truth)) == 2 else None
    micro = _positive_micro_f1([pair for pair in pairs if pair.label_pixels_original > 0])
    return {
        "present": sum(truth),
        "absent": len(truth) - sum(truth),
        "image_level_mcc": correlation,
        "positive_micro_f1": micro,
        "cgf1": None if correlation is None or micro is None else correlation * micro,
    }


def _positive_micro_f1(present: Sequence[PairScores]) -> float | None:
    overlaps = [pair.iou_original for pair in present]
    if not overlaps or None in overlaps:  # the evaluator has no such metric
        return None
    found = sum(pair.predicted_pixels_original > 0 for pair in present)
    hits = [sum(overlap is not None and overlap >= threshold for overlap in overlaps) for threshold in IOU_THRESHOLDS]
    # 2 TP + FP + FN: predictions and masks
    return 100 * fmean(2 * hit / (found + len(present)) for hit in hits)


def _summarize_false_positives(absent: Sequence[AbsentPair]) -> dict[str, Any]:
    return {
        "pairs": len(absent),
        "false_positive_rate": fmean(_rates(absent)) if absent else None,
        "false_positive_area": fmean(pair.false_positive_area for pair in absent) if absent else None,
    }


def _rates(absent: Sequence[AbsentPair]) -> list[float]:
    return [100.0 * (pair.predicted_pixels_original > 0) for pair in absent]
