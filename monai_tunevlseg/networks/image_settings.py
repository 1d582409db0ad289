"""Image settings of a base model: side, mean and standard deviation, read from its processor files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.json_files import read_json_object

try:
    from transformers.image_processing_utils import get_size_dict
except RuntimeError as error:  # transformers imports torchvision wherever it is installed
    raise ImportError(
        f"transformers cannot import the installed torchvision, which does not fit the installed torch ({error}); run "
        "'pip uninstall torchvision', which this package does not need, or install the build for this torch."
    ) from error

__all__ = ["LARGEST_SIDE", "PROCESSOR_FILES", "ImageSettings", "read_image_settings"]

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
"""Transformers takes the first of these that describes an image processor."""

LARGEST_SIDE = 4096  # pixels; four times the side of any published model


@dataclass(frozen=True)
class ImageSettings:
    """Size and normalization of the images that a base model was trained on.

    Attributes:
        size: side of the square images in pixels.
        mean: mean of each of the three channels, for images in [0, 1].
        std: standard deviation of each channel.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_image_settings(folder: Path, otherwise: ImageSettings, divisor: int) -> ImageSettings | None:
    """Read the settings of a base model's image processor.

    Args:
        folder: folder of the base model.
        otherwise: defaults of settings that the files omit.
        divisor: number of pixels; the side must be a multiple of it.

    Returns:
        None if the folder has no image processor.

    Raises:
        ValueError: when a file is damaged, or its settings do not describe square RGB images; names the file.
    """
    for name in PROCESSOR_FILES:
        file = folder / name
        entries = read_json_object(file) if file.is_file() else {}
        entries = entries.get("image_processor", {}) if name == PROCESSOR_FILES[0] else entries
        if entries:
            return _settings(entries, otherwise, divisor, file)
    return None


def _settings(entries: Mapping[str, Any], otherwise: ImageSettings, divisor: int, file: Path) -> ImageSettings:
    size = _side(entries["size"], divisor, file) if entries.get("size") is not None else otherwise.size
    if not entries.get("do_normalize", True):
        return ImageSettings(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    mean = _channels(entries.get("image_mean") or otherwise.mean, "image_mean", file)
    std = _channels(entries.get("image_std") or otherwise.std, "image_std", file)
    if min(std) <= 0:
        raise ValueError(f"{file} has the image_std {list(std)}; each must be above 0.")
    return ImageSettings(size, mean, std)


def _side(size: Any, divisor: int, file: Path) -> int:
    """Return the side of a square from any form in which versions of transformers write it."""
    try:
        sides = set(get_size_dict(size).values())
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{file} has the size {size!r}, which is not that of an image.") from error
    side = sides.pop()
    if sides or type(side) is not int or not 0 < side <= LARGEST_SIDE or side % divisor:
        raise ValueError(
            f"{file} has the size {size!r}; images must be squares whose side is a multiple of {divisor} and at most "
            f"{LARGEST_SIDE} pixels."
        )
    return side


def _channels(values: Any, name: str, file: Path) -> tuple[float, ...]:
    numbers = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else ()
    if len(numbers) != 3 or not all(type(value) in (int, float) and math.isfinite(value) for value in numbers):
        raise ValueError(f"{file} has the {name} {values!r}; it must be one number for each of the three channels.")
    return tuple(float(value) for value in numbers)
