"""The qualitative page: images of the test split, their masks, and what each method makes of them."""

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

from monai_tunevlseg.benchmark.results import Problem, Result
from monai_tunevlseg.benchmark.tables import ordered_datasets, row_order
from monai_tunevlseg.data.overlays import draw_overlay
from monai_tunevlseg.evaluation import read_cases
from monai_tunevlseg.json_files import read_json

__all__ = ["Gallery", "Picture", "Strip", "build_galleries"]

Key = tuple[str, int | None, str]  # of a case

SIDE = 176  # of a thumbnail's longer side, in pixels
QUALITY = 82
NAME = re.compile(r"[\w-]{1,100}")  # of a case; part of the names of its files


@dataclass(frozen=True)
class Picture:
    """One thumbnail.

    Attributes:
        caption: what it shows.
        detail: the Dice of a prediction, or nothing.
        source: a JPEG as a data URI; None where there is no such prediction.
    """

    caption: str
    detail: str
    source: str | None


@dataclass(frozen=True)
class Strip:
    """One test case: the image, the truth, and a prediction of each method."""

    title: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Gallery:
    """The test cases of one dataset."""

    dataset: str
    strips: Sequence[Strip]


def build_galleries(results_dir: Path, results: Sequence[Result], problems: list[Problem]) -> list[Gallery]:
    """Draw the stored test cases of each dataset, without the ablations' variants.

    Args:
        results_dir: has ``pictures/DATASET/``, which ``README.md`` beside this file describes.
        results: their folders have ``predictions/``.
        problems: gets what could not be drawn.
    """
    galleries = []
    for dataset in ordered_datasets(result.entry.dataset for result in results):
        chosen = [result for result in results if result.entry.dataset == dataset and result.entry.variant is None]
        chosen.sort(key=lambda result: row_order(result.entry.model, result.entry.method))
        place = f"pictures/{dataset}"
        try:
            cases = read_json(results_dir / place / "cases.json")
            scores = {result: _scores(result) for result in chosen}
            strips = [_strip(results_dir / place, case, scores, problems) for case in cases]
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(Problem(place, f"the test cases cannot be shown: {_in_words(error, results_dir)}."))
            continue
        galleries.append(Gallery(dataset, strips))
    return galleries


def _strip(
    folder: Path, case: dict[str, Any], scores: Mapping[Result, Mapping[Key, float | None]], problems: list[Problem]
) -> Strip:
    name, key = case["name"], (case["image"], case["slice"], case["class_name"])
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"cases.json has the name {name!r}; it must be letters, digits, - and _, a file's name here")
    image = np.asarray(_opened(folder / f"{name}_image.png").convert("RGB"), dtype=np.float32) / 255
    pictures = [
        Picture("image", "", _data_uri((image * 255).round().astype(np.uint8))),
        Picture("truth", "", _overlay(image, folder / f"{name}_truth.png")),
    ]
    for result, dices in scores.items():
        titles = result.facts["titles"]
        path = result.folder / "predictions" / f"{name}.png"
        source = None
        try:
            source = _overlay(image, path)
        except (OSError, ValueError) as error:
            place = f"{result.entry.name}/predictions/{name}.png"
            problems.append(Problem(place, f"cannot be shown: {type(error).__name__}."))
        dice = dices.get(key)
        detail = "" if dice is None else f"{dice:.1f} %"
        pictures.append(Picture(f"{titles['model']} {titles['method']}", detail, source))
    place = "" if key[1] is None else f", slice {key[1]}"
    return Strip(f"{key[0]}{place}: {key[2]}", pictures)


def _in_words(error: Exception, results_dir: Path) -> str:
    text = str(error).rstrip(".").replace(f"{results_dir}/", "")
    return text if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"


def _scores(result: Result) -> dict[Key, float | None]:
    try:
        return {case.key: case.dice for case in read_cases(result.folder)}
    except (OSError, ValueError):
        return {}  # the comparisons have named it


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            file.load()
            return file.copy()
    except UnidentifiedImageError as error:
        raise ValueError(f"{path.name} is no picture.") from error


def _overlay(image: np.ndarray, mask_file: Path) -> str:
    """Draw a mask on an image, (H, W, 3) in [0, 1]."""
    mask = _opened(mask_file).convert("L")
    height, width = image.shape[:2]
    if mask.size != (width, height):
        mask = mask.resize((width, height), Image.Resampling.NEAREST)
    return _data_uri(draw_overlay(image, (np.asarray(mask) > 0).astype(np.uint8), num_classes=1))


def _data_uri(picture: np.ndarray) -> str:
    """Return a thumbnail of a picture, uint8 (H, W, 3), as a data URI."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
