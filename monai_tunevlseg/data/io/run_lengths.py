"""Decoder of COCO's compressed run-length code of masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["decode_run_lengths", "parse_run_lengths"]


def decode_run_lengths(rle: Mapping[str, Any], path: Path) -> np.ndarray:
    """Decode COCO's compressed run-length code.

    Args:
        rle: {"size": [H, W], "counts": text}.
        path: the file that holds the code, for messages.

    Returns:
        uint8 of shape (H, W) in {0, 1}.

    Raises:
        ValueError: when the code does not describe H x W pixels.
    """
    runs = parse_run_lengths(rle, path)
    height, width = (int(size) for size in rle["size"])
    pixels = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs)
    return pixels.reshape(width, height).T  # the code runs down the columns


def parse_run_lengths(rle: Mapping[str, Any], path: Path) -> list[int]:
    """Return the lengths of the runs, alternately background and foreground.

    The arguments are those of `decode_run_lengths`.

    Raises:
        ValueError: when the runs do not cover the picture exactly. (pycocotools does not check this: it reads and
            writes beyond the picture if they are too long.)
    """
    try:
        height, width = (int(size) for size in rle["size"])
        if height < 1 or width < 1:
            raise ValueError(f"its size is {height} x {width}")
        return _read_runs(rle["counts"].encode("ascii"), height * width)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} holds a run-length code that cannot be read: {error}; replace the file.") from error


def _read_runs(counts: bytes, pixels: int) -> list[int]:
    """Undo the compression.

    A run is a number in groups of 5 bits, lowest first, each in a character from 48 on; the sixth bit announces
    another group, and the fifth bit of the last group is the sign. From the fourth on, a run is stored as the
    difference from the run two places before it.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = character - 48
        if not 0 <= group < 64:
            raise ValueError(f"{chr(character)!r} is not a character of this code")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift or sum(runs) != pixels or min(runs, default=0) < 0:
        raise ValueError(f"its runs cover {sum(runs)} pixels instead of the {pixels} of the picture")
    return runs
