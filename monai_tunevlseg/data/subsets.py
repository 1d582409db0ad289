"""Subsets of the training and validation images: a number of images per class, or a share of all."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from monai_tunevlseg.data.class_presence import absent_classes
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.messages import shorten

__all__ = ["SAME", "Subset", "draw_subset"]

SAME = "same"
"""Value of `Subset.val_fraction` that reduces validation like training."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subset:
    """The part of the training and validation images that a run uses.

    With equal seeds, a smaller subset is part of a larger one, and the same files give the same subsets on every
    machine. An image is used with all its pairs or not at all.

    Args:
        num_shots: number of training images that show a class, for each class. No group, such as a patient, gives a
            second image for a class before every group has given one. An image counts for every class that it shows, so
            that a class can have more. A volume is one image. None = no limit.
        train_fraction: share of the training images in (0, 1], rounded down to whole groups, with one group at least.
            None = no limit.
        seed: random seed of the draw, 0 or more.
        val_fraction: share of the validation images in (0, 1], drawn like `train_fraction`; "same" = reduced like
            training, but with fewer images of a class where validation has no more; None = all.

    Raises:
        ValueError: when a value is out of range, or `num_shots` and `train_fraction` are both given.
    """

    num_shots: int | None = None
    train_fraction: float | None = None
    seed: int = 0
    val_fraction: float | str | None = None

    def __post_init__(self) -> None:
        if self.num_shots is not None and self.train_fraction is not None:
            raise ValueError(
                f"num_shots is {self.num_shots} and train_fraction is {self.train_fraction}; set one of them to null."
            )
        if self.num_shots is not None and self.num_shots < 1:
            raise ValueError(f"num_shots is {self.num_shots}; it must be 1 or more, or null for all images.")
        if self.seed < 0:
            raise ValueError(f"subset_seed is {self.seed}; it must be 0 or more.")
        if self.train_fraction is not None and not 0 < self.train_fraction <= 1:
            raise ValueError(f"train_fraction is {self.train_fraction}; it must be above 0 and at most 1.")
        if self.val_fraction in (None, SAME):
            return
        if isinstance(self.val_fraction, str) or not 0 < self.val_fraction <= 1:
            raise ValueError(f"val_fraction is {self.val_fraction!r}; it must be {SAME}, or above 0 and at most 1.")

    def limits(self, split: str) -> tuple[int | None, float | None]:
        """Return the number of images per class and the share of the images of `train` or `val`; None = no limit."""
        if split == "train" or self.val_fraction == SAME:
            return self.num_shots, self.train_fraction
        return None, None if self.val_fraction is None else float(self.val_fraction)


def draw_subset(
    subset: Subset,
    splits: Splits,
    cases: Iterable[Case],
    class_names: Sequence[str],
    group_of: Callable[[str], str] | None = None,
) -> Splits:
    """Draw a part of the training and validation images; the test split stays whole.

    Images without pairs are not drawn, and for `num_shots` neither are those that show no class: masks are read until
    enough of them show each class.

    Args:
        subset: the size of the part, and the seed.
        splits: the stems of train, val and test; some in each have pairs.
        cases: the cases of these stems.
        class_names: the classes.
        group_of: returns the group of a stem, such as its patient; None = each image is a group.

    Returns:
        the splits, each in its former order.

    Raises:
        ValueError: when `num_shots` exceeds the number of training images, or no mask of a split shows a class.
    """
    with_pairs = {case.stem: case for case in cases if case.samples}
    drawn = dict(splits)
    for name in ("train", "val"):
        found = [with_pairs[stem] for stem in splits[name] if stem in with_pairs]
        num_shots, share = subset.limits(name)
        groups = _groups_in_order(found, subset.seed, group_of)
        if num_shots is not None:
            chosen = _draw_shots(groups, num_shots, class_names, name)
        elif share is not None:
            chosen = _draw_share(groups, share, class_names, name)
        else:
            continue
        drawn[name] = [stem for stem in splits[name] if stem in chosen]
        size = f"{len(drawn[name])} of {len(found)} images"
        logger.info(f"The split {name!r} is reduced to {size} (subset_seed {subset.seed}).")
    return drawn


def _groups_in_order(cases: Iterable[Case], seed: int, group_of: Callable[[str], str] | None) -> list[list[Case]]:
    """Return the groups in the order in which they are drawn, and the cases of each alike.

    The order is that of the SHA-256 of seed and name, which no version of a random generator changes. Names are
    normalized, because macOS stores them in another form of Unicode.
    """

    def drawn(name: str) -> str:
        return hashlib.sha256(f"{seed} {unicodedata.normalize('NFC', name)}".encode()).hexdigest()

    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(group_of(case.stem) if group_of else case.stem, []).append(case)
    return [sorted(groups[name], key=lambda case: drawn(case.stem)) for name in sorted(groups, key=drawn)]


def _draw_shots(groups: Sequence[Sequence[Case]], num_shots: int, class_names: Sequence[str], split: str) -> set[str]:
    """Unite the first images that show each class, so that more shots only add images.

    Raises:
        ValueError: as `draw_subset`.
    """
    total = sum(map(len, groups))
    if split == "train" and num_shots > total:
        raise ValueError(
            f"num_shots is {num_shots}, but the split 'train' has {total} images; set num_shots to at most {total}, or "
            "to null for all."
        )
    of_class = {name: list(itertools.islice(_showing(name, groups), num_shots)) for name in class_names}
    few = [f"{name!r} ({len(stems)})" for name, stems in of_class.items() if len(stems) < num_shots]
    if not any(of_class.values()):
        raise ValueError(
            f"num_shots is {num_shots}, but no mask of the split {split!r} shows {shorten(map(repr, class_names))}; "
            "correct the masks, or set num_shots to null."
        )
    if few and split == "train":
        warnings.warn(
            f"num_shots is {num_shots}, but fewer images of the split 'train' show {shorten(few)}: all of them are "
            "used.",
            stacklevel=3,
        )
    return set().union(*of_class.values())


def _showing(class_name: str, groups: Sequence[Sequence[Case]]) -> Iterator[str]:
    """Yield the stems of the images that show a class, one of each group in turn."""
    queues = [(case.stem for case in group if not absent_classes([class_name], case.samples)) for group in groups]
    while queues:
        left = []
        for queue in queues:
            if (stem := next(queue, None)) is not None:
                left.append(queue)
                yield stem
        queues = left


def _draw_share(groups: Sequence[Sequence[Case]], share: float, class_names: Sequence[str], split: str) -> set[str]:
    """Take the first groups whose images are at most the share, but one group at least."""
    room = math.floor(Fraction(str(share)) * sum(map(len, groups)))  # exact: 0.29 * 100 is below 29
    fitting = sum(size <= room for size in itertools.accumulate(map(len, groups)))
    chosen, left_out = groups[: max(1, fitting)], groups[max(1, fitting) :]
    if lost := [name for name in class_names if name in _classes_of(left_out) - _classes_of(chosen)]:
        warnings.warn(
            f"the share {share} of the split {split!r}, {sum(map(len, chosen))} images, has no pairs of "
            f"{shorten(map(repr, lost))}; increase it, or set another subset_seed.",
            stacklevel=3,
        )
    return {case.stem for group in chosen for case in group}


def _classes_of(groups: Sequence[Sequence[Case]]) -> set[str]:
    return {sample["class_name"] for group in groups for case in group for sample in case.samples}
