"""Correcting a label map by clicks and boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

__all__ = ["filter_components"]

Position = tuple[int, ...]


def filter_components(
    labels: np.ndarray,
    foreground: Sequence[Position] = (),
    background: Sequence[Position] = (),
    area: Sequence[tuple[int, int]] | None = None,
) -> np.ndarray:
    """Keep or drop the connected components of a label map.

    Components have one label and are connected diagonally too. The area is cut out first. Where there are positive
    clicks, only components under one of them stay; components under a negative click go.

    Args:
        labels: label map; 0 is background.
        foreground: indices of positive clicks, in the order of the map's axes.
        background: indices of negative clicks.
        area: (start, end) along each axis, the end outside.

    Returns:
        the corrected map.
    """
    if area is not None:
        inside = np.zeros_like(labels)
        box = tuple(slice(start, end) for start, end in area)
        inside[box] = labels[box]
        labels = inside
    if not foreground and not background:
        return labels
    kept = np.zeros_like(labels)
    everywhere = np.ones((3,) * labels.ndim)
    for value in np.unique(labels[labels > 0]):
        components, count = ndimage.label(labels == value, structure=everywhere)
        wanted = {int(components[click]) for click in foreground} if foreground else set(range(1, count + 1))
        wanted -= {0, *(int(components[click]) for click in background)}
        kept[np.isin(components, list(wanted))] = value
    return kept
