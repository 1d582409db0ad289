"""What an evaluation of slices does not tell of volumes: slices that do not show the class, and Dice of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.pair_scores import PairScores

__all__ = ["VolumeScores", "is_empty_slice", "summarize_empty_slices", "summarize_volumes", "volumes_of"]

DECIMALS = 4


@dataclass(frozen=True)
class VolumeScores:
    """One class in one volume, at the file's own resolution.

    Attributes:
        image: path of the file, as `PairScores` has it.
        class_name: which class.
        cluster: what is drawn as a whole in a bootstrap.
        label_voxels: size of the mask, without ignored voxels, as for all sizes.
        predicted_voxels: size of the prediction.
        common_voxels: size of what both have.
    """

    image: str
    class_name: str
    cluster: str
    label_voxels: int
    predicted_voxels: int
    common_voxels: int

    @property
    def dice(self) -> float:
        """Dice in percent; 100 where mask and prediction are both empty."""
        size = self.label_voxels + self.predicted_voxels
        return 200 * self.common_voxels / size if size else 100.0


def is_empty_slice(case: PairScores) -> bool:
    """Return whether a case is a slice of a volume that shows nothing of its class."""
    return case.slice is not None and case.label_pixels_original == 0


def summarize_empty_slices(cases: Sequence[PairScores]) -> dict[str, Any]:
    """Return how often, and how much, a network finds of a class in slices that do not show it.

    Args:
        cases: slices without the class.

    Returns:
        ``pairs``; ``with_prediction``, the pairs in which something was found, and ``false_positive_share``, their
        share in percent, None without pairs; ``predicted_pixels_original``, the sum of what was found.
    """
    found = sum(case.predicted_pixels_original > 0 for case in cases)
    return {
        "pairs": len(cases),
        "with_prediction": found,
        "false_positive_share": round(100 * found / len(cases), DECIMALS) if cases else None,
        "predicted_pixels_original": sum(case.predicted_pixels_original for case in cases),
    }


def volumes_of(cases: Sequence[PairScores], common: Sequence[int]) -> list[VolumeScores]:
    """Put slices together again.

    Args:
        cases: of one evaluation, every slice of its volumes among them; pictures are passed over.
        common: of each case, the pixels of the image that mask and prediction have in common.

    Returns:
        one for each volume and class, sorted.
    """
    sums: dict[tuple[str, str, str], list[int]] = {}
    for case, shared in zip(cases, common, strict=True):
        if case.slice is not None:
            total = sums.setdefault((case.image, case.class_name, case.cluster), [0, 0, 0])
            for place, size in enumerate((case.label_pixels_original, case.predicted_pixels_original, shared)):
                total[place] += size
    return [VolumeScores(*key, *sizes) for key, sizes in sorted(sums.items())]


def summarize_volumes(volumes: Sequence[VolumeScores], bootstrap: Bootstrap) -> dict[str, Any]:
    """Return the mean Dice of whole volumes, over all of them and by class.

    Args:
        volumes: one or more.
        bootstrap: how the interval is drawn.

    Returns:
        ``pairs`` of a volume and a class, ``dice`` in percent, ``interval`` [low, high] of it or None, ``classes``, the
        mean of each, and ``per_volume``: ``image``, ``class_name``, ``dice`` and sizes of each pair.
    """
    dice = [volume.dice for volume in volumes]
    interval = bootstrap.interval(dice, [volume.cluster for volume in volumes])
    names = sorted({volume.class_name for volume in volumes})
    return {
        "pairs": len(volumes),
        "dice": fmean(dice),
        "interval": list(interval) if interval else None,
        "classes": {name: fmean(volume.dice for volume in volumes if volume.class_name == name) for name in names},
        "per_volume": [
            {
                "image": volume.image,
                "class_name": volume.class_name,
                "dice": round(volume.dice, DECIMALS),
                "label_voxels": volume.label_voxels,
                "predicted_voxels": volume.predicted_voxels,
            }
            for volume in volumes
        ],
    }
