"""The mask of each compared text of an evaluation, and its overlap with the mask of the class.

All is at the model's resolution, without ignored pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedEvaluator

from monai_tunevlseg.calibration import Calibration
from monai_tunevlseg.csv_files import write_csv
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.evaluation.blank_image import BlankImage

__all__ = ["ComparedPair", "ComparedPairs", "write_compared_pairs"]

DECIMALS = 4  # as many as those of other scores


@dataclass(frozen=True)
class ComparedPair:
    """An image, or a slice, with one of the compared texts of a class that it has a mask of.

    Attributes:
        image: path of the image file, as in `PairScores`.
        slice: number of the slice if the file is a volume; None otherwise.
        class_name: name of the class that the mask shows.
        kind: "class_name", "text_set", "contentless" or "contradictory".
        name: name of the text over all pairs: the text itself, or for published texts p1 to p9.
        text: the text that was given to the network.
        group: the patient, or another group of files that belong together.
        dice: Dice of the prediction and the mask in percent; 100 when both are empty.
        iou: intersection over union in percent; 100 when both are empty.
        label_pixels: area of the mask.
        predicted_pixels: area of the prediction.
        pixels: area of the image.
        blank_dice: Dice in percent of the prediction for the same text in a blank image.
        blank_pixels: area of that prediction.
    """

    image: str
    slice: int | None
    class_name: str
    kind: str
    name: str
    text: str
    group: str | None
    dice: float
    iou: float
    label_pixels: int
    predicted_pixels: int
    pixels: int
    blank_dice: float
    blank_pixels: int

    @property
    def cluster(self) -> str:
        """Cluster of the pair in a bootstrap, that of the image's other pairs."""
        return self.group or self.image

    @property
    def area(self) -> float:
        """Area of the prediction in percent of the image; 0 where all of it is ignored."""
        return 100 * self.predicted_pixels / max(1, self.pixels)

    @property
    def blank_area(self) -> float:
        """Area of the prediction in a blank image, in percent of the image."""
        return 100 * self.blank_pixels / max(1, self.pixels)


def write_compared_pairs(path: Path, pairs: Iterable[ComparedPair]) -> None:
    """Write one row per pair, atomically."""
    write_csv(path, [field.name for field in fields(ComparedPair)], (asdict(pair) for pair in pairs))


class ComparedPairs:
    """Collects the compared texts of an evaluation of image groups, and asks them of a blank image.

    Slices that do not show the class are left out, as they are left out of the means.

    Args:
        calibration: the calibration of the masks of the evaluation; None = none.
    """

    def __init__(self, calibration: Calibration | None = None) -> None:
        self._blank = BlankImage(calibration)
        self._pairs: list[tuple[int, ComparedPair]] = []  # with the number of the sample

    def collect(self, engine: SupervisedEvaluator, path_of: Callable[[Sample], str]) -> None:
        """Collect the compared texts of a batch, whose output has the masks ``foreground`` of all its texts.

        Args:
            engine: the evaluation.
            path_of: returns the path of a sample's image.
        """
        batch = engine.state.batch
        for index, samples in enumerate(batch["pairs"]):
            masks = dict(zip(batch["text"][index], engine.state.output["foreground"][index].cpu(), strict=True))
            labels = zip(batch["label"][index].cpu(), batch["full_label"][index], strict=True)
            for sample, (label, full_label) in zip(samples, labels, strict=True):
                if "slice" in sample and not ((full_label > 0) & (full_label != IGNORE_INDEX)).any():
                    continue
                self._add(engine, sample | {"image": path_of(sample)}, label, masks)

    def pairs(self) -> list[ComparedPair]:
        """Return all pairs in the order of the datalist."""
        return [pair for _, pair in sorted(self._pairs, key=lambda item: item[0])]

    def _add(
        self, engine: SupervisedEvaluator, sample: Sample, label: torch.Tensor, masks: dict[str, torch.Tensor]
    ) -> None:
        """Add the compared texts of one sample with its label (h, w) in {0, 1, 255}."""
        compared = sample.get("compared_texts", [])
        blank = self._blank.masks(engine, [each["text"] for each in compared])
        counted = label != IGNORE_INDEX
        truth = (label > 0) & counted
        for each in compared:
            found, alone = (of_texts[each["text"]] & counted for of_texts in (masks, blank))
            scores = _overlap(found, truth)
            pair = ComparedPair(
                **each,
                **{key: sample.get(key) for key in ("image", "slice", "class_name", "group")},  # type: ignore[arg-type]
                **scores,
                label_pixels=int(truth.sum()),
                predicted_pixels=int(found.sum()),
                pixels=int(counted.sum()),
                blank_dice=_overlap(alone, truth)["dice"],
                blank_pixels=int(alone.sum()),
            )
            self._pairs.append((sample["number"], pair))


def _overlap(prediction: torch.Tensor, truth: torch.Tensor) -> dict[str, Any]:
    """Return Dice and IoU of two masks in percent."""
    common, united = int((prediction & truth).sum()), int((prediction | truth).sum())
    sizes = int(prediction.sum()) + int(truth.sum())
    if not sizes:
        return {"dice": 100.0, "iou": 100.0}
    return {"dice": round(200 * common / sizes, DECIMALS), "iou": round(100 * common / united, DECIMALS)}
