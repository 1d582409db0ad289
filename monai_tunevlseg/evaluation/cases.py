"""The evaluation's report: one row per (image, class) pair, and means with and without empty masks side by side."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from ignite.engine import Events
from monai.engines import Evaluator

from monai_tunevlseg.data.atomic import replacing

__all__ = ["Case", "CaseReport", "summarize"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """One (image, class) pair.

    Attributes:
        image: path of the image file.
        slice: number of the slice, where the file is a volume; None otherwise.
        text: the class name.
        dice: in percent, at the model's resolution; 100 when prediction and mask are both empty.
        label_pixels: area of the mask at the model's resolution.
        predicted_pixels: area of the prediction.
    """

    image: str
    slice: int | None
    text: str
    dice: float
    label_pixels: int
    predicted_pixels: int


def summarize(cases: Sequence[Case]) -> dict[str, Any]:
    """Return the number of pairs and their mean Dice, over all pairs and over those whose mask is not empty.

    Args:
        cases: one or more.

    Raises:
        ValueError: when there is none.
    """
    if not cases:
        raise ValueError("there is no case to summarize; the split is empty.")
    foreground = [case.dice for case in cases if case.label_pixels]
    return {
        "pairs": len(cases),
        "dice": fmean(case.dice for case in cases),
        "pairs_with_foreground": len(foreground),
        "dice_foreground": fmean(foreground) if foreground else None,
    }


class CaseReport:
    """Writes ``cases.csv`` and ``metrics.json`` when an evaluation has finished. Attach it to the evaluator.

    Args:
        output_dir: gets the two files.
        split: name of the split, for the report.
        metric: name of the Dice metric over all pairs, whose details are the cases' scores.
    """

    def __init__(self, output_dir: str | Path, split: str, metric: str = "dice") -> None:
        self.output_dir = Path(output_dir)
        self.split = split
        self.metric = metric
        self._seen: list[dict[str, Any]] = []

    def attach(self, engine: Evaluator) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, lambda: self._seen.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def collect(self, engine: Evaluator) -> None:
        """Remember which pairs a batch had, and their areas."""
        for sample, result in zip(engine.state.batch, engine.state.output, strict=True):
            self._seen.append(
                {
                    "image": str(sample["path"]),
                    "slice": int(sample["slice"]) if "slice" in sample else None,
                    "text": str(sample["text"]),
                    "label_pixels": int(result["label"].sum()),
                    "predicted_pixels": int(result["pred"].sum()),
                }
            )

    def write(self, engine: Evaluator) -> None:
        """Write both files."""
        scores = engine.state.metric_details[self.metric].flatten().tolist()
        cases = [Case(dice=100 * score, **seen) for score, seen in zip(scores, self._seen, strict=True)]
        texts = sorted({case.text for case in cases})
        metrics = {
            "split": self.split,
            **summarize(cases),
            "classes": {text: summarize([case for case in cases if case.text == text]) for text in texts},
        }
        with replacing(self.output_dir / "cases.csv") as unfinished, unfinished.open("w", newline="") as file:
            rows = csv.DictWriter(file, [field.name for field in fields(Case)])
            rows.writeheader()
            rows.writerows(asdict(case) for case in cases)
        with replacing(self.output_dir / "metrics.json") as unfinished:
            unfinished.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        logger.info(f"{len(cases)} pairs: {metrics['dice']:.2f} % Dice; the report is in {self.output_dir}")
