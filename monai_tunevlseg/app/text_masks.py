"""The bundles of the page, tuned and zero-shot, and the masks of texts in the form that the page shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from monai_tunevlseg.monai_label.bundle_model import BaseModelCache, BundleModel
from monai_tunevlseg.networks.texts import validate_texts

__all__ = [
    "LEVELS",
    "MAX_TEXT_CHARS",
    "OWN_MASK",
    "TextMasks",
    "TriedBundle",
    "check_texts",
    "open_tried_bundles",
    "segment_texts",
]

LEVELS = np.arange(1, 100, dtype=np.float32) / np.float32(100)
"""The thresholds of the page's slider: 0.01 to 0.99."""
OWN_MASK = 128
"""The bit of a pixel in the mask at the bundle's own threshold; the lower bits count the exceeded `LEVELS`."""
MAX_TEXTS = 16
MAX_TEXT_CHARS = 512


@dataclass(frozen=True)
class TriedBundle:
    """A bundle with its checkpoint, and without it.

    Attributes:
        tuned: segments with the checkpoint.
        zero_shot: segments with the frozen base model alone; None if the bundle has none.
    """

    tuned: BundleModel
    zero_shot: BundleModel | None

    def version(self, name: str) -> BundleModel:
        """Return the version ``tuned`` or ``zero-shot``.

        Raises:
            ValueError: when the bundle does not have it.
        """
        if name == "tuned" and self.tuned.checkpoint.is_file():
            return self.tuned
        if name == "zero-shot" and self.zero_shot is not None:
            return self.zero_shot
        raise ValueError(f"{self.tuned.name} has no version {name!r:.50}; choose one of {', '.join(self.versions())}.")

    def versions(self) -> list[str]:
        """Return the versions that can segment now."""
        return ["tuned"] * self.tuned.checkpoint.is_file() + ["zero-shot"] * (self.zero_shot is not None)


def open_tried_bundles(folders: Iterable[str | Path]) -> dict[str, TriedBundle]:
    """Open bundles; their networks are loaded on first use and share base models.

    Returns:
        the bundles by name, the folder's.

    Raises:
        FileNotFoundError: when a folder is not a bundle.
        ValueError: when two bundles have one name, or a bundle can segment in no version.
    """
    base_models = BaseModelCache()
    bundles: dict[str, TriedBundle] = {}
    for folder in folders:
        tuned = BundleModel(folder, base_models)
        if tuned.name in bundles:
            raise ValueError(f"two bundles have the name {tuned.name!r}: {bundles[tuned.name].tuned.folder}, {folder}.")
        tuned.check_usable()
        zero_shot = BundleModel(folder, base_models, zero_shot=True) if tuned.has_base_model else None
        bundles[tuned.name] = TriedBundle(tuned, zero_shot)
    return bundles


@dataclass(frozen=True, eq=False)
class TextMasks:
    """Masks of K texts in a picture.

    Attributes:
        maps: uint8, (K, H, W): how many of `LEVELS` a pixel's probability is above, plus `OWN_MASK` inside the mask at
            the bundle's own threshold.
        presence: the probability that the picture shows each text at all.
        confidence: the mean probability inside the mask at the bundle's own threshold; None for an empty mask.
        confidence_at: the same at each of `LEVELS`.
    """

    maps: np.ndarray
    presence: list[float]
    confidence: list[float | None]
    confidence_at: list[list[float | None]]


def check_texts(texts: object) -> list[str]:
    """Return the texts of a request.

    Raises:
        ValueError: when they are not a list of at most ``MAX_TEXTS`` texts, or one is empty or too long.
    """
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_TEXTS:
        raise ValueError(f"texts is {texts!r:.100}; type one to {MAX_TEXTS} texts, one per line.")
    if wrong := [text for text in texts if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_TEXT_CHARS]:
        raise ValueError(f"a text is {wrong[0]!r:.100}; type 1 to {MAX_TEXT_CHARS} characters.")
    return validate_texts([text.strip() for text in texts], "texts")


def segment_texts(model: BundleModel, picture: Path, texts: Sequence[str]) -> TextMasks:
    """Segment a picture by text; the mask of each text is that of `Segmenter.segment`.

    Raises:
        ValueError: when the file cannot be read as a picture, or the checkpoint is damaged or does not fit.
    """
    found, presence = model.reduce_logits_with_presence(picture, texts, _masks_and_probabilities)
    masks, probabilities = found[: len(texts)] > 0, found[len(texts) :]
    levels: list[np.ndarray] = [np.searchsorted(LEVELS, probability).astype(np.uint8) for probability in probabilities]
    pairs = list(zip(levels, probabilities, strict=True))
    return TextMasks(
        maps=np.stack([level + OWN_MASK * mask for level, mask in zip(levels, masks, strict=True)]).astype(np.uint8),
        presence=presence.tolist(),
        confidence=[
            float(of_text[mask].mean(dtype=np.float64)) if mask.any() else None
            for of_text, mask in zip(probabilities, masks, strict=True)
        ],
        confidence_at=[_confidence_at_levels(level, probability) for level, probability in pairs],
    )


def _masks_and_probabilities(logits: Iterable[torch.Tensor], cuts: Iterable[torch.Tensor | float]) -> torch.Tensor:
    """Return (B, 2K, H, W) float32: the K masks, 0 or 1, then the K probabilities."""
    masks, probabilities = [], []
    for of_text, cut in zip(logits, cuts, strict=False):
        masks.append((of_text > cut).float())
        probabilities.append(of_text.float().sigmoid())
    return torch.cat([*masks, *probabilities], dim=1)


def _confidence_at_levels(level: np.ndarray, probability: np.ndarray) -> list[float | None]:
    """Return the mean of the probabilities above each of `LEVELS`; None where no pixel is."""
    size = len(LEVELS) + 1
    counts = np.bincount(level.ravel(), minlength=size)[::-1].cumsum()[::-1]
    sums = np.bincount(level.ravel(), probability.ravel(), minlength=size)[::-1].cumsum()[::-1]
    return [float(total / count) if count else None for total, count in zip(sums[1:], counts[1:], strict=True)]
