"""Messages between the page and its server: a JSON object and maps of bytes, so that pixels arrive exactly.

The page sends its map as runs of equal pixels, which fit into the last request of a page that is closed (64 KiB).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from monai_tunevlseg.app.picture_files import MAX_PIXELS
from monai_tunevlseg.json_files import parse_json

__all__ = ["pack_maps", "unpack_label_map"]

PREFIX = 4  # bytes with the length of the JSON
RUN = 5  # bytes of a run: its length, uint32, and its value, uint8


def pack_maps(header: Mapping[str, Any], maps: np.ndarray) -> bytes:
    """Return a message: the length of the JSON in 4 bytes (big-endian), the JSON, and the maps.

    Args:
        header: gets ``width`` and ``height``.
        maps: uint8, (H, W) or (K, H, W).
    """
    height, width = maps.shape[-2:]
    text = json.dumps({**header, "width": width, "height": height}).encode()
    return len(text).to_bytes(PREFIX, "big") + text + maps.astype(np.uint8, copy=False).tobytes()


def unpack_label_map(message: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """Return the JSON object and the one map of a message of the page, uint8 (H, W).

    After the JSON, which has ``width`` and ``height``, come the lengths of all runs (uint32, little-endian), and then
    their values.

    Raises:
        ValueError: when the message is not as described, or the map has more than ``MAX_PIXELS`` pixels.
    """
    end = PREFIX + int.from_bytes(message[:PREFIX], "big")
    if not PREFIX < end <= len(message):
        raise ValueError(f"the message has {len(message)} bytes, but its JSON ends at byte {end}; send both parts.")
    header = parse_json(message[PREFIX:end], "the message")
    shape = [header.get(side) for side in ("height", "width")] if isinstance(header, dict) else [None]
    whole = [side for side in shape if isinstance(side, int) and not isinstance(side, bool) and side > 0]
    count, rest = divmod(len(message) - end, RUN)
    lengths = np.frombuffer(message, "<u4", count, end)
    pixels = int(lengths.sum(dtype=np.int64))
    if rest or len(whole) != 2 or whole[0] * whole[1] != pixels:
        raise ValueError(f"the runs of the map have {pixels} pixels, but height and width are {shape}; send both.")
    if pixels > MAX_PIXELS:
        raise ValueError(f"the map has {pixels:,} pixels; the page shows at most {MAX_PIXELS:,}.")
    return header, np.repeat(np.frombuffer(message, np.uint8, count, end + lengths.nbytes), lengths).reshape(whole)
