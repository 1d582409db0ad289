"""Pictures of an evaluation's worst, median and best cases, and the files of predicted masks they are made from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.data.io.file_suffixes import stem_of
from monai_tunevlseg.data.label_overlay import class_color, contour, draw_overlay
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.data.transforms.loading import LoadImageMaskd
from monai_tunevlseg.evaluation.pair_scores import PairScores

__all__ = ["choose_examples", "mask_name", "remove_earlier", "write_mask", "write_example_overlays"]

RANKS = ("worst", "median", "best")
SIDES = 400, 1024  # smallest and largest length of a picture's longer side, in pixels
TRUTH_COLOR = class_color(2)  # azure, which stands out on flesh and beside green
PREDICTION_COLOR = class_color(0)
LONGEST_TITLE = 200  # bytes, of the 255 that a file's name may have
SHADE = 0.25  # brightness left where pixels are ignored


def mask_name(pair: Sample) -> str:
    """Return the file name of a pair's predicted mask: its number in the split, its image, slice and class."""
    return f"{pair['number']:05}_{_title(pair)}.png"


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a mask, bool (H, W), as a PNG of one bit per pixel; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def remove_earlier(output_dir: Path) -> None:
    """Remove the pictures of an earlier report in the same folder, and no other file."""
    for path in (output_dir / "predicted_masks").glob("*.png"):
        if re.match(r"\d{5,}_", path.name):
            path.unlink()
    for path in (output_dir / "overlays").glob("*.png"):
        if re.match(rf"({'|'.join(RANKS)})_\d+_dice_", path.name):
            path.unlink()


def choose_examples(cases: Sequence[PairScores], count: int) -> dict[str, list[int]]:
    """Choose cases by their Dice at the model's resolution; where it is the same, the larger error is worse.

    Median and best cases are chosen among those with foreground, for a mask that is rightly empty shows nothing.

    Args:
        cases: of one evaluation.
        count: how many of each rank.

    Returns:
        indices for ``worst`` and ``best``, the most extreme first, and for ``median``, the nearest to it first; no case
        is chosen twice.
    """

    def quality(index: int) -> tuple[float, int, int]:
        case = cases[index]
        return case.dice or 0.0, -(case.label_pixels + case.predicted_pixels), index

    ranked = sorted(range(len(cases)), key=quality)
    worst = ranked[:count]
    shown = [index for index in ranked if cases[index].has_foreground("dice")]
    best = [index for index in reversed(shown) if index not in worst][:count]
    middle = (len(shown) - 1) / 2
    nearest = sorted(range(len(shown)), key=lambda place: abs(place - middle))
    median = [shown[place] for place in nearest if shown[place] not in (*worst, *best)][:count]
    return dict(zip(RANKS, (worst, median, best), strict=True))


def write_example_overlays(
    folder: Path, cases: Sequence[PairScores], pairs: Sequence[Sample], masks: Mapping[int, Path], count: int
) -> None:
    """Write a picture of each chosen case, named by rank and case.

    Args:
        folder: gets the PNGs; made when there is one.
        cases: of one evaluation.
        pairs: the sample of each case.
        masks: the file of each case's predicted mask, by its index.
        count: how many of each rank.
    """
    load = LoadImageMaskd()
    for rank, indices in choose_examples(cases, count).items():
        for place, index in enumerate(indices, start=1):
            pair: Any = pairs[index]
            sample, dice = load(pair), cases[index].dice or 0.0
            with Image.open(masks[index]) as file:
                prediction = np.asarray(file)
            image, label = (np.asarray(torch.as_tensor(sample[key])) for key in ("image", "label"))
            picture = _draw(np.moveaxis(image, 0, -1), label[0], prediction)
            caption = f"{rank} {place}: Dice {dice:.1f} %, {pair['class_name']}"
            with atomic_file(folder / f"{rank}_{place:02}_dice_{dice:05.1f}_{_title(pair)}.png") as unfinished:
                _captioned(picture, caption).save(unfinished, format="PNG")


def _draw(image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Tint the prediction, (H, W), and draw the mask's outline on the image, (H, W, 3) in [0, 1]; return uint8."""
    longest = max(label.shape)
    scale = min(max(longest, SIDES[0]), SIDES[1]) / longest
    height, width = (max(1, round(length * scale)) for length in label.shape)
    rows, columns = (np.arange(new) * old // new for new, old in zip((height, width), label.shape, strict=True))
    label, prediction = label[rows][:, columns], prediction[rows][:, columns]
    pixels = Image.fromarray(np.rint(image * 255).astype(np.uint8))
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    shown = np.asarray(pixels.resize((width, height), resample), dtype=np.float32) / 255
    shown[label == IGNORE_INDEX] *= SHADE
    picture = draw_overlay(shown, prediction & (label != IGNORE_INDEX), num_classes=1)
    outline = contour(label == 1, max(1, round(min(label.shape) / 200)))
    picture[outline] = np.rint(TRUTH_COLOR * 255)
    return picture


def _captioned(picture: np.ndarray, caption: str) -> Image.Image:
    """Put the caption and the legend above a picture."""
    size = max(12, picture.shape[1] // 32)
    font = ImageFont.load_default(size)
    lines = (
        (caption, np.ones(3)),
        ("outline: mask", TRUTH_COLOR),
        ("filled: prediction", PREDICTION_COLOR),
    )
    line = round(1.4 * size)
    canvas = Image.new("RGB", (picture.shape[1], picture.shape[0] + len(lines) * line))
    canvas.paste(Image.fromarray(picture), (0, len(lines) * line))
    pen = ImageDraw.Draw(canvas)
    for number, (text, color) in enumerate(lines):
        red, green, blue = (round(255 * part) for part in color)
        pen.text((size // 2, number * line), text, fill=(red, green, blue), font=font)
    return canvas


def _title(pair: Sample) -> str:
    """Name a pair in a file name: letters and digits of any script, and nothing that a file system minds."""
    place = f"_{pair['slice']}" if "slice" in pair else ""
    title = re.sub(r"[^\w.-]+", "-", f"{stem_of(Path(pair['image']))}{place}_{pair['class_name']}")
    return title.encode()[:LONGEST_TITLE].decode(errors="ignore")
