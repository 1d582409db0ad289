"""Examples of the test split: images, masks and the predictions of every method."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_tunevlseg.benchmark.experiment_order import ordered_datasets, row_order
from monai_tunevlseg.benchmark.experiment_spec import MAIN_TABLE
from monai_tunevlseg.benchmark.results_folder import METRICS, ExperimentResult, ReportProblem
from monai_tunevlseg.benchmark.seed_runs import group_seeds
from monai_tunevlseg.data.label_overlay import draw_overlay
from monai_tunevlseg.evaluation import PairKey, read_pair_scores
from monai_tunevlseg.json_files import read_json

__all__ = ["Gallery", "GalleryRow", "Thumbnail", "build_galleries"]

THUMBNAIL_SIZE = 176  # length of the longer side in pixels
JPEG_QUALITY = 82
EXAMPLE_NAME = re.compile(r"[\w-]{1,100}")  # part of file names


@dataclass(frozen=True)
class Thumbnail:
    """A small image in the report.

    Attributes:
        caption: image, truth, or model and method.
        detail: Dice of a prediction, or an empty string.
        source: data URI of a JPEG; None if the prediction is missing.
    """

    caption: str
    detail: str
    source: str | None


@dataclass(frozen=True)
class GalleryRow:
    """One example: the image, its mask, and the prediction of each method."""

    title: str
    thumbnails: Sequence[Thumbnail]


@dataclass(frozen=True)
class Gallery:
    """The examples of one dataset."""

    dataset: str
    rows: Sequence[GalleryRow]


def build_galleries(
    results_dir: Path, results: Sequence[ExperimentResult], metric: str, problems: list[ReportProblem]
) -> list[Gallery]:
    """Draw the stored examples of each dataset with the predictions of the experiments of Table 3.

    Of several seeds, those of the first are shown.

    Args:
        results_dir: folder with ``examples/DATASET/``; ``README.md`` in this package describes it.
        results: experiments; their folders hold ``predictions/``.
        metric: one of ``METRICS``, whose score of each prediction is shown.
        problems: receives missing and unreadable files.
    """
    galleries = []
    for dataset in ordered_datasets(result.spec.dataset for result in results):
        chosen = [result for result in results if result.spec.dataset == dataset and result.spec.table == MAIN_TABLE]
        chosen.sort(key=lambda result: row_order(result.spec))
        chosen = [runs[0] for runs in group_seeds(chosen)]
        place = f"examples/{dataset}"
        try:
            examples = read_json(results_dir / place / "examples.json")
            scores = {result: _scores(result, METRICS[metric].score) for result in chosen}
            rows = [_row(results_dir / place, example, scores, problems) for example in examples]
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(ReportProblem(place, f"examples cannot be shown: {_message(error, results_dir)}."))
            continue
        galleries.append(Gallery(dataset, rows))
    return galleries


def _row(
    folder: Path,
    example: dict[str, Any],
    scores: Mapping[ExperimentResult, Mapping[PairKey, float | None]],
    problems: list[ReportProblem],
) -> GalleryRow:
    name, key = example["name"], (example["image"], example["slice"], example["class_name"])
    if not isinstance(name, str) or not EXAMPLE_NAME.fullmatch(name):
        raise ValueError(f"name {name!r} in examples.json; names consist of letters, digits, - and _ (at most 100)")
    image = np.asarray(_read_image(folder / f"{name}_image.png").convert("RGB"), dtype=np.float32) / 255
    thumbnails = [
        Thumbnail("image", "", _data_uri((image * 255).round().astype(np.uint8))),
        Thumbnail("truth", "", _overlay(image, folder / f"{name}_truth.png")),
    ]
    for result, dices in scores.items():
        path = result.folder / "predictions" / f"{name}.png"
        source = None
        try:
            source = _overlay(image, path)
        except (OSError, ValueError) as error:
            place = f"{result.spec.name}/predictions/{name}.png"
            problems.append(ReportProblem(place, f"cannot be shown: {type(error).__name__}."))
        dice = dices.get(key)
        detail = "" if dice is None else f"{dice:.1f} %"
        thumbnails.append(Thumbnail(result.title, detail, source))
    place = "" if key[1] is None else f", slice {key[1]}"
    return GalleryRow(f"{key[0]}{place}: {key[2]}", thumbnails)


def _message(error: Exception, results_dir: Path) -> str:
    text = str(error).rstrip(".").replace(f"{results_dir}/", "")
    return text if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"


def _scores(result: ExperimentResult, score: str) -> dict[PairKey, float | None]:
    try:
        return {pair.key: pair.score(score) for pair in read_pair_scores(result.folder, required=[score])}
    except (OSError, ValueError):
        return {}  # already a problem of the comparisons


def _read_image(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            file.load()
            return file.copy()
    except UnidentifiedImageError as error:
        raise ValueError(f"{path.name} is not an image.") from error


def _overlay(image: np.ndarray, mask_file: Path) -> str:
    """Return the data URI of an image, (H, W, 3) in [0, 1], with a mask drawn on it."""
    mask = _read_image(mask_file).convert("L")
    height, width = image.shape[:2]
    if mask.size != (width, height):
        mask = mask.resize((width, height), Image.Resampling.NEAREST)
    return _data_uri(draw_overlay(image, (np.asarray(mask) > 0).astype(np.uint8), num_classes=1))


def _data_uri(pixels: np.ndarray) -> str:
    """Return the data URI of a thumbnail of pixels, uint8 (H, W, 3)."""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
