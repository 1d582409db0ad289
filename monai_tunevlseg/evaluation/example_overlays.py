"""Overlays of an evaluation's worst, median and best pairs, and the files of predicted masks."""

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
from monai_tunevlseg.data.transforms.sample_loading import LoadImageMaskd
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairScores

__all__ = ["choose_examples", "mask_name", "remove_earlier", "write_example_overlays", "write_mask"]

RANKS = ("worst", "median", "best")
SIDES = 400, 1024  # smallest and largest length of an overlay's longer side, in pixels
TRUTH_COLOR = class_color(2)  # azure, which stands out on flesh and beside green
PREDICTION_COLOR = class_color(0)
MAX_TITLE_BYTES = 200  # file systems allow 255 for a file name
IGNORED_BRIGHTNESS = 0.25  # factor for ignored pixels


def mask_name(sample: Sample) -> str:
    """Return the file name of a predicted mask: number in the split, image, slice and class of the sample."""
    return f"{sample['number']:05}_{_title(sample)}.png"


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a mask, bool (H, W), as a PNG of one bit per pixel; the folder is created if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def remove_earlier(output_dir: Path) -> None:
    """Remove the masks and overlays of an earlier report in the same folder, and no other file."""
    for path in (output_dir / "predicted_masks").glob("*.png"):
        if re.match(r"\d{5,}_", path.name):
            path.unlink()
    for path in (output_dir / "overlays").glob("*.png"):
        if re.match(rf"({'|'.join(RANKS)})_\d+_dice_", path.name):
            path.unlink()


def choose_examples(pairs: Sequence[PairScores], count: int, score: str = "dice") -> dict[str, list[int]]:
    """Choose `count` pairs of each rank by a score; of equal scores, the larger error is worse.

    Median and best pairs are chosen among those with foreground, because a correct empty mask shows nothing.

    Returns:
        indices for ``worst`` and ``best``, the most extreme first, and for ``median``, the nearest first; each pair is
        chosen once at most.
    """

    def quality(index: int) -> tuple[float, int, int]:
        pair, columns = pairs[index], (PAIR_METRICS[score].area, PAIR_METRICS[score].predicted_area)
        return pair.score(score) or 0.0, -sum(getattr(pair, column) or 0 for column in columns), index

    ranked = sorted(range(len(pairs)), key=quality)
    worst = ranked[:count]
    shown = [index for index in ranked if pairs[index].has_foreground(score)]
    best = [index for index in reversed(shown) if index not in worst][:count]
    middle = (len(shown) - 1) / 2
    nearest = sorted(range(len(shown)), key=lambda place: abs(place - middle))
    median = [shown[place] for place in nearest if shown[place] not in (*worst, *best)][:count]
    return dict(zip(RANKS, (worst, median, best), strict=True))


def write_example_overlays(
    folder: Path,
    pairs: Sequence[PairScores],
    samples: Sequence[Sample],
    masks: Mapping[int, Path],
    count: int,
    score: str = "dice",
) -> None:
    """Write an overlay of each chosen pair, named by rank and pair.

    Args:
        folder: output folder; created for the first overlay.
        pairs: pairs of one evaluation.
        samples: the sample of each pair.
        masks: the file of each pair's predicted mask, by the index of the pair.
        count: number of pairs of each rank.
        score: name of the Dice score that ranks them.
    """
    load = LoadImageMaskd()
    for rank, indices in choose_examples(pairs, count, score).items():
        for place, index in enumerate(indices, start=1):
            sample: Any = samples[index]
            loaded, dice = load(sample), pairs[index].score(score) or 0.0
            with Image.open(masks[index]) as file:
                prediction = np.asarray(file)
            image, label = (np.asarray(torch.as_tensor(loaded[key])) for key in ("image", "label"))
            picture = _draw(np.moveaxis(image, 0, -1), label[0], prediction)
            caption = f"{rank} {place}: Dice {dice:.1f} %, {sample['class_name']}"
            with atomic_file(folder / f"{rank}_{place:02}_dice_{dice:05.1f}_{_title(sample)}.png") as unfinished:
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
    shown[label == IGNORE_INDEX] *= IGNORED_BRIGHTNESS
    picture = draw_overlay(shown, prediction & (label != IGNORE_INDEX), num_classes=1)
    outline = contour(label == 1, max(1, round(min(label.shape) / 200)))
    picture[outline] = np.rint(TRUTH_COLOR * 255)
    return picture


def _captioned(picture: np.ndarray, caption: str) -> Image.Image:
    """Draw the caption and the legend above a picture."""
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


def _title(sample: Sample) -> str:
    """Return the part of a file name that names a sample: letters and digits of any script, no special characters."""
    place = f"_{sample['slice']}" if "slice" in sample else ""
    title = re.sub(r"[^\w.-]+", "-", f"{stem_of(Path(sample['image']))}{place}_{sample['class_name']}")
    return title.encode()[:MAX_TITLE_BYTES].decode(errors="ignore")
