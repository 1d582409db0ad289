"""COCO's compressed run-length code of a mask."""

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
        path: the file that it stands in, for messages.

    Returns:
        uint8 of shape (H, W) in {0, 1}.

    Raises:
        ValueError: when the code does not describe H x W pixels.
    """
    from pycocotools import mask as coco

    parse_run_lengths(rle, path)
    return coco.decode({"size": [int(size) for size in rle["size"]], "counts": rle["counts"].encode("ascii")})


def parse_run_lengths(rle: Mapping[str, Any], path: Path) -> list[int]:
    """Read the lengths of the runs, background and foreground in turn, of a code that `decode_run_lengths` decodes.

    Raises:
        ValueError: when they do not cover the picture exactly. (pycocotools does not look: it reads and writes beyond
            the picture where they are too many.)
    """
    try:
        height, width = (int(size) for size in rle["size"])
        if height < 1 or width < 1:
            raise ValueError(f"its size is {height} x {width}")
        return _read_runs(rle["counts"].encode("ascii"), height * width)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} holds a run-length code that cannot be read: {error}; replace the file.") from error


def _read_runs(counts: bytes, pixels: int) -> list[int]:
    """Undo the code.

    A run is a number in groups of 5 bits, lowest first, each in a character from 48 on; the sixth bit announces
    another group, the fifth of the last group is the sign; from the fourth on, runs are differences to the last but
    one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = character - 48
        if not 0 <= group < 64:
            raise ValueError(f"{chr(character)!r} is no character of such a code")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift or sum(runs) != pixels or min(runs, default=0) < 0:
        raise ValueError(f"its runs cover {sum(runs)} pixels where the picture has {pixels}")
    return runs
