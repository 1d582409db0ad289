"""Messages between the page and its server: a JSON object and maps of bytes, so that pixels arrive exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from monai_tunevlseg.json_files import parse_json

__all__ = ["pack_maps", "unpack_label_map"]

PREFIX = 4  # bytes with the length of the JSON


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
    """Return the JSON object and the one map of a message, uint8 (H, W).

    Raises:
        ValueError: when the message is not as `pack_maps` writes it.
    """
    end = PREFIX + int.from_bytes(message[:PREFIX], "big")
    if not PREFIX < end <= len(message):
        raise ValueError(f"the message has {len(message)} bytes, but its JSON ends at byte {end}; send both parts.")
    header = parse_json(message[PREFIX:end], "the message")
    shape = [header.get(side) for side in ("height", "width")] if isinstance(header, dict) else [None]
    whole = [side for side in shape if isinstance(side, int) and not isinstance(side, bool) and side > 0]
    if len(whole) != 2 or whole[0] * whole[1] != len(message) - end:
        raise ValueError(f"the map has {len(message) - end} bytes, but height and width are {shape}; send both.")
    return header, np.frombuffer(message, np.uint8, offset=end).reshape(whole)
