"""Reductions of the logits of an image's classes, which stream them one class at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

import torch
import torch.nn.functional as F

__all__ = [
    "UNCALIBRATED",
    "Reduction",
    "binary_entropy",
    "entropy_map",
    "label_map",
    "label_map_with_confidence",
    "label_map_with_probabilities",
]

Reduction = Callable[[Iterable[torch.Tensor], Iterable[torch.Tensor | float]], torch.Tensor]
"""Reduces the logits of the classes, (B, 1, H, W) each and one class at a time, to one (B, C, H, W) tensor.

The second argument has the logit of each class above which pixels are foreground, a number or (B, 1, 1, 1); it is 0
without a calibration.
"""
UNCALIBRATED: Iterable[torch.Tensor | float] = repeat(0.0)


def label_map(logits: Iterable[torch.Tensor], cuts: Iterable[torch.Tensor | float] = UNCALIBRATED) -> torch.Tensor:
    """Return the label map of :class:`~monai_tunevlseg.data.LogitsToLabelMapd` with two classes in memory at a time.

    Args:
        logits: logits of the classes, one after the other.
        cuts: the logits above which each class is foreground.

    Returns:
        (B, 1, H, W) uint8: k + 1 where the logit of class k is the most above its cut, else 0. Without a calibration
        this is the class with the highest probability where that is above 0.5.
    """
    labels = torch.zeros((), dtype=torch.uint8)
    for value, (_, wins) in enumerate(_compared(logits, cuts), start=1):
        labels = torch.where(wins, value, labels)
    return labels


def label_map_with_confidence(
    logits: Iterable[torch.Tensor], cuts: Iterable[torch.Tensor | float] = UNCALIBRATED
) -> torch.Tensor:
    """Return the label map and the probability of each pixel's label, with two classes in memory at a time.

    Args:
        logits: logits of the classes, one after the other.
        cuts: the logits above which each class is foreground.

    Returns:
        (B, 2, H, W) float32: the values of :func:`label_map`, then the probability of that class, 0 on background.
    """
    labels = confidence = torch.zeros(())
    for value, (of_class, wins) in enumerate(_compared(logits, cuts), start=1):
        labels = torch.where(wins, float(value), labels)
        confidence = torch.where(wins, of_class.float().sigmoid(), confidence)
    return torch.cat([labels, confidence], dim=1)


def _compared(
    logits: Iterable[torch.Tensor], cuts: Iterable[torch.Tensor | float]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the logits of each class, and where they are above its cut by more than those of the classes before."""
    highest = torch.zeros(())
    for of_class, cut in zip(logits, cuts, strict=False):
        found = of_class - cut
        yield of_class, found > highest
        highest = torch.maximum(highest, found)


def label_map_with_probabilities(
    logits: Iterable[torch.Tensor], cuts: Iterable[torch.Tensor | float] = UNCALIBRATED
) -> torch.Tensor:
    """Return the label map and the probability of each class; the probabilities of all classes are in memory.

    Args:
        logits: logits of the classes, one after the other.
        cuts: the logits above which each class is foreground.

    Returns:
        (B, 1 + K, H, W) float32: the values of :func:`label_map`, then the probabilities of the K classes, 0..1.
    """
    probabilities: list[torch.Tensor] = []

    def kept() -> Iterator[torch.Tensor]:
        for of_class in logits:
            probabilities.append(of_class.float().sigmoid())
            yield of_class

    labels = label_map(kept(), cuts)
    return torch.cat([labels.float(), *probabilities], dim=1)


def binary_entropy(logits: torch.Tensor) -> torch.Tensor:
    """Return the entropy of each logit's probability in bits: 0 is certain, 1 a guess; float32, any shape."""
    # from logits, because probabilities of 0 would give 0 * log(0)
    return F.binary_cross_entropy_with_logits(logits, logits.sigmoid(), reduction="none").float() / math.log(2)


def entropy_map(logits: Iterable[torch.Tensor], cuts: Iterable[torch.Tensor | float] = UNCALIBRATED) -> torch.Tensor:
    """Return the predictive entropy of each pixel in bits, as the mean over the classes.

    Args:
        logits: logits of the classes, one after the other.
        cuts: unused, because entropy is that of probabilities, not of masks.

    Returns:
        (B, 1, H, W) float32 in [0, 1]: 0 is certain, 1 is a guess.
    """
    total, count = torch.zeros(()), 0
    for found in logits:
        total, count = total + binary_entropy(found), count + 1
    return total / count
