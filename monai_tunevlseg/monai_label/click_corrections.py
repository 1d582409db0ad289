"""Corrections of a label map by clicks and a box."""

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
    roi: Sequence[tuple[int, int]] | None = None,
) -> np.ndarray:
    """Keep or drop the connected components of a label map.

    A component has one label and is connected diagonally too. The label map is first cut to the box. With positive
    clicks, only the components under them stay; components under negative clicks go.

    Args:
        labels: label map; 0 is background.
        foreground: indices of positive clicks, in the order of the map's axes.
        background: indices of negative clicks.
        roi: the box, [start, end) along each axis; None = no box.

    Returns:
        the corrected map.
    """
    if roi is not None:
        inside = np.zeros_like(labels)
        box = tuple(slice(start, end) for start, end in roi)
        inside[box] = labels[box]
        labels = inside
    if not foreground and not background:
        return labels
    kept = np.zeros_like(labels)
    diagonal = np.ones((3,) * labels.ndim)
    for value in np.unique(labels[labels > 0]):
        components, count = ndimage.label(labels == value, structure=diagonal)
        chosen = {int(components[click]) for click in foreground} if foreground else set(range(1, count + 1))
        chosen -= {0, *(int(components[click]) for click in background)}
        kept[np.isin(components, list(chosen))] = value
    return kept
