"""Means over pairs, with and without empty masks, slices without the class, and Dice of whole volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairScores

__all__ = [
    "VolumeScores",
    "is_empty_slice",
    "summarize",
    "summarize_empty_slices",
    "summarize_volumes",
    "volumes_of",
]

DECIMALS = 4  # decimal places of scores, because MONAI's are float32


def summarize(pairs: Sequence[PairScores], scores: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """Return counts, and the mean, standard deviation and interval of every score.

    Args:
        pairs: one or more pairs.
        scores: names of the measured scores, of ``PAIR_METRICS``.
        bootstrap: settings of the intervals.

    Returns:
        ``pairs``, ``pairs_with_foreground`` (None where the areas at the model's resolution are unknown) and
        ``pairs_with_foreground_original`` (a small mask can vanish at the model's resolution), ``images``,
        ``clusters``; for each score, such as ``dice``, the mean over all pairs and, as
        ``dice_foreground``, over the pairs with foreground; for scores that are undefined for some pairs, such as
        ``hd95``, the mean over the others and their number, ``pairs_with_hd95``; ``standard_deviations`` over pairs and
        ``intervals`` [low, high], by the same names. Undefined values are None.

    Raises:
        ValueError: when ``pairs`` is empty.
    """
    if not pairs:
        raise ValueError("no pair to summarize; the split is empty.")
    means: dict[str, float | int | None] = {}
    deviations: dict[str, float | None] = {}
    intervals: dict[str, list[float] | None] = {}
    for name, chosen in _columns(pairs, scores).items():
        values = [value for _, value in chosen]
        means[name] = fmean(values) if values else None
        deviations[name] = stdev(values) if len(values) > 1 else None
        of_all = name.removesuffix("_foreground")
        if of_all != name and len(values) == len(pairs):  # no mask is empty: the same interval
            intervals[name] = intervals[of_all]
            continue
        interval = bootstrap.interval(values, [pair.cluster for pair, _ in chosen])
        intervals[name] = list(interval) if interval else None
        if name in PAIR_METRICS and PAIR_METRICS[name].needs_both:
            means[f"pairs_with_{name}"] = len(values)
    return {**_counts(pairs), **means, "standard_deviations": deviations, "intervals": intervals}


def _counts(pairs: Sequence[PairScores]) -> dict[str, int | None]:
    measured = all(pair.label_pixels is not None for pair in pairs)
    return {
        "pairs": len(pairs),
        "pairs_with_foreground": sum(pair.has_foreground("dice") for pair in pairs) if measured else None,
        "pairs_with_foreground_original": sum(pair.label_pixels_original > 0 for pair in pairs),
        "images": len({pair.image for pair in pairs}),
        "clusters": len({pair.cluster for pair in pairs}),
    }


def _columns(pairs: Sequence[PairScores], scores: Sequence[str]) -> dict[str, list[tuple[PairScores, float]]]:
    """Return the pairs and values of each mean."""
    columns = {}
    for name in scores:
        columns[name] = [(pair, value) for pair in pairs if (value := pair.score(name)) is not None]
        if not PAIR_METRICS[name].needs_both:
            columns[f"{name}_foreground"] = [item for item in columns[name] if item[0].has_foreground(name)]
    return columns


@dataclass(frozen=True)
class VolumeScores:
    """The scores of one class in one volume, at the file's own resolution.

    Attributes:
        image: path of the file, as in `PairScores`.
        class_name: name of the class.
        cluster: cluster of the volume in a bootstrap.
        label_voxels: voxels of the mask, without ignored voxels, as all counts.
        predicted_voxels: voxels of the prediction.
        common_voxels: voxels of both.
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


def is_empty_slice(pair: PairScores) -> bool:
    """Return whether a pair is a slice of a volume that does not show its class."""
    return pair.slice is not None and pair.label_pixels_original == 0


def summarize_empty_slices(pairs: Sequence[PairScores]) -> dict[str, Any]:
    """Return how often, and how much, a network predicts a class in slices that do not show it.

    Returns:
        ``pairs``; ``with_prediction``, the number of pairs with a prediction that is not empty, and
        ``false_positive_share``, their share in percent, None without pairs; ``predicted_pixels_original``, the sum of
        the predicted pixels.
    """
    found = sum(pair.predicted_pixels_original > 0 for pair in pairs)
    return {
        "pairs": len(pairs),
        "with_prediction": found,
        "false_positive_share": round(100 * found / len(pairs), DECIMALS) if pairs else None,
        "predicted_pixels_original": sum(pair.predicted_pixels_original for pair in pairs),
    }


def volumes_of(pairs: Sequence[PairScores], common: Sequence[int]) -> list[VolumeScores]:
    """Sum the slices of each volume.

    Args:
        pairs: pairs of one evaluation, with every slice of its volumes; pictures are skipped.
        common: for each pair, the number of the image's pixels in both mask and prediction.

    Returns:
        the scores of each volume and class, sorted.
    """
    sums: dict[tuple[str, str, str], list[int]] = {}
    for pair, shared in zip(pairs, common, strict=True):
        if pair.slice is not None:
            total = sums.setdefault((pair.image, pair.class_name, pair.cluster), [0, 0, 0])
            for place, size in enumerate((pair.label_pixels_original, pair.predicted_pixels_original, shared)):
                total[place] += size
    return [VolumeScores(*key, *sizes) for key, sizes in sorted(sums.items())]


def summarize_volumes(volumes: Sequence[VolumeScores], bootstrap: Bootstrap) -> dict[str, Any]:
    """Return the mean Dice of whole volumes, one or more, over all of them and by class.

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
