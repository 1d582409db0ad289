"""Reading, drawing, checking and writing splits, the stems of train, val and test."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.data.samples import SPLIT_NAMES, Splits
from monai_tunevlseg.json_files import read_json
from monai_tunevlseg.messages import shorten

__all__ = [
    "DrawSplits",
    "OverlapWarning",
    "complete_splits",
    "draw_splits",
    "find_run_splits",
    "group_by",
    "read_splits",
    "refuse_trained",
    "warn_of_overlap",
    "write_splits",
]


class DrawSplits(Protocol):
    """Draws splits of stems by the hash of their names, without dividing groups such as patients."""

    def __call__(
        self,
        stems: Iterable[str],
        *,
        sizes: tuple[int, int, int] | None = None,
        shares: tuple[int, int, int] | None = None,
        weights: Mapping[str, int] | None = None,
    ) -> Splits:
        """Draw splits, as :func:`draw_splits` describes."""


DEFAULT_SHARES = (8, 1, 1)
DATASET = "dataset_dir"
"""Key of the dataset's folder in the splits file of a run."""
LEFT_OUT = "left_out"
"""Key of the images in no split in the splits file of a run."""


class OverlapWarning(UserWarning):
    """A warning that two splits share images or groups."""


def read_splits(path: Path, stems: Iterable[str], tolerant: bool = False) -> Splits:
    """Read and check splits.

    Images in no split are left out, with a warning unless the file lists them as left out, too.

    Args:
        path: a JSON file {"train": [stem, ...], "val": [...], "test": [...]}; val or test may be left out, and
            "left_out" may be added.
        stems: the stems of the dataset.
        tolerant: skip names that belong to no image.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is not such JSON, or lists an unknown stem, or a stem twice in one split.
    """
    own = {unicodedata.normalize("NFC", stem): stem for stem in stems}
    parsed, left_out = _parse(path)
    splits = {name: [own.get(stem, stem) for stem in listed] for name, listed in parsed.items()}
    known = set(own.values())
    if tolerant:
        splits = {name: [stem for stem in listed if stem in known] for name, listed in splits.items()}
    for name, listed in splits.items():
        unknown = [stem for stem in listed if stem not in known]
        if unknown:
            raise ValueError(
                f"{path}: {len(unknown)} names in {name!r} belong to no image: {shorten(unknown)}; "
                "splits list file names without suffix."
            )
        twice = [stem for stem, count in Counter(listed).items() if count > 1]
        if twice:
            raise ValueError(f"{path}: {name!r} lists {shorten(twice)} more than once; remove the repetitions.")
    unused = sorted(known.difference(*splits.values(), {own.get(stem) for stem in left_out}))
    if unused:
        warnings.warn(f"{path} leaves out {len(unused)} images: {shorten(unused)}.", stacklevel=2)
    return splits


def draw_splits(
    stems: Iterable[str],
    group_of: Callable[[str], str] | None = None,
    *,
    sizes: tuple[int, int, int] | None = None,
    shares: tuple[int, int, int] | None = None,
    weights: Mapping[str, int] | None = None,
) -> Splits:
    """Draw splits from the names alone, so that the same files give the same splits on every machine.

    Names are sorted by their SHA-256 and cut; with weights, groups are then moved until the sizes match, or nearly
    match when no group is small enough. Each split with a share gets at least one group; with fewer groups than splits,
    all are for training.

    Args:
        stems: the stems of the dataset.
        group_of: returns the group of a stem, such as its patient; a group is never divided, and sizes and shares count
            groups. None = each image is a group.
        sizes: the number of groups of train, val and test, or their weight; when the dataset's total differs, they are
            shares, and a warning says so.
        shares: the shares of train, val and test when `sizes` is None; None = 80/10/10.
        weights: the weight of each stem, such as its number of samples; None = each group counts as one.
    """
    members: dict[str, list[str]] = {}
    for stem in stems:
        members.setdefault(group_of(stem) if group_of else stem, []).append(stem)
    groups = sorted(members, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    counted = {group: sum(weights[stem] for stem in members[group]) if weights else 1 for group in groups}
    wanted = sizes or shares or DEFAULT_SHARES
    parts = sum(share > 0 for share in wanted)
    if sum(counted.values()) < parts:
        counted = dict.fromkeys(groups, 1)
    total = sum(counted.values())
    counts = _allot(total, wanted) if len(groups) >= parts else (total, 0, 0)
    if sizes and total != sum(sizes):
        things = "samples" if weights else "groups" if group_of else "images"
        warnings.warn(
            f"the published sizes {_ratio(sizes)} need {sum(sizes)} {things}, and the dataset has {total}; splits are "
            f"drawn in the same proportions: {_ratio(counts)}.",
            stacklevel=2,
        )
    return {
        name: sorted(stem for group in part for stem in members[group])
        for name, part in zip(SPLIT_NAMES, _fill(groups, counted, counts), strict=True)
    }


def _fill(groups: Sequence[str], weights: Mapping[str, int], targets: Sequence[int]) -> list[list[str]]:
    """Cut where the targets are reached, then move groups between the parts while this reduces the difference."""
    parts: list[list[str]] = [[] for _ in targets]
    room = list(targets)
    filling = 0
    for position, group in enumerate(groups):
        # leaves a group for each part to come
        while any(targets[filling + 1 :]) and (
            room[filling] <= 0 or len(groups) - position <= sum(target > 0 for target in targets[filling + 1 :])
        ):
            filling += 1
        parts[filling].append(group)
        room[filling] -= weights[group]
    while True:
        full, free = min(range(len(room)), key=room.__getitem__), max(range(len(room)), key=room.__getitem__)
        excess, deficit = -room[full], room[free]
        error = {group: abs(excess - weights[group]) + abs(deficit - weights[group]) for group in parts[full]}
        moved = min(error, key=error.__getitem__, default=None)
        if moved is None or len(parts[full]) == 1 or error[moved] >= excess + deficit:
            return parts
        parts[full].remove(moved)
        parts[free].append(moved)
        room[full] += weights[moved]
        room[free] -= weights[moved]


def _allot(total: int, shares: tuple[int, int, int]) -> tuple[int, int, int]:
    """Divide a number in three: val and test are rounded, to one at least, and train gets the rest."""
    if total < sum(share > 0 for share in shares):
        return total, 0, 0
    whole = sum(shares)
    val, test = (max(1, (2 * total * share + whole) // (2 * whole)) if share else 0 for share in shares[1:])
    while val + test > total - (shares[0] > 0):
        val, test = (val - 1, test) if val > test else (val, test - 1)
    return total - val - test, val, test


def _ratio(counts: Iterable[int]) -> str:
    return "/".join(map(str, counts))


def complete_splits(splits: Mapping[str, Sequence[str]], draw: DrawSplits, where: str) -> Splits:
    """Draw missing val and test splits from train, with a warning.

    Args:
        splits: train, and optionally val and test.
        draw: draws splits.
        where: their source, for messages.

    Raises:
        ValueError: when train is missing.
    """
    if "train" not in splits:
        raise ValueError(f"{where} has the splits {', '.join(splits)} but not train; add it, or give a splits_file.")
    missing = [name for name in SPLIT_NAMES if name not in splits]
    given = {name: list(stems) for name, stems in splits.items()}
    if not missing:
        return given
    val, test = (int(name in missing) for name in SPLIT_NAMES[1:])
    drawn = draw(given["train"], shares=(10 - val - test, val, test))
    warnings.warn(
        f"{where} has no {' and no '.join(missing)}: a tenth of train is drawn for each; give a splits_file to choose.",
        stacklevel=2,
    )
    return {name: drawn[name] if name == "train" or name in missing else given[name] for name in SPLIT_NAMES}


def group_by(pattern: str) -> Callable[[str], str]:
    r"""Return a function that finds the group of a stem, such as its patient.

    Args:
        pattern: a regular expression such as `^(patient\d+)_`; the group is its first group, or the whole match.

    Raises:
        ValueError: when the pattern is not a regular expression; the function, when a stem does not match.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"group_pattern {pattern!r} is not a regular expression: {error}.") from error

    def group_of(stem: str) -> str:
        match = expression.search(stem)
        if match is None:
            raise ValueError(f"group_pattern {pattern!r} does not match the file name {stem!r}; widen it.")
        return match.group(1) if expression.groups else match.group()

    return group_of


def warn_of_overlap(splits: Mapping[str, Iterable[str]], group_of: Callable[[str], str] | None = None) -> None:
    """Warn of images or groups that two splits share, because results on such splits are optimistically biased."""
    groups = {name: {group_of(stem) if group_of else stem for stem in stems} for name, stems in splits.items()}
    for one, other in itertools.combinations(groups, 2):
        shared = sorted(groups[one] & groups[other])
        if shared:
            message = f"the splits {one!r} and {other!r} share {len(shared)}: {shorten(shared)}."
            warnings.warn(message, OverlapWarning, stacklevel=2)


def write_splits(path: Path, splits: Splits, dataset_dir: Path | None = None, left_out: Sequence[str] = ()) -> None:
    """Write splits atomically as JSON that `read_splits` reads; missing folders are created.

    Args:
        path: the file.
        splits: the stems of each split.
        dataset_dir: the dataset's folder, for `find_run_splits`.
        left_out: the stems in no split.
    """
    content: dict[str, Any] = dict(splits)
    if left_out:
        content[LEFT_OUT] = list(left_out)
    if dataset_dir is not None:
        content[DATASET] = str(dataset_dir)
    write_text_atomically(path, json.dumps(content, indent=2) + "\n")


def find_run_splits(path: Path, dataset_dir: Path, stems: Iterable[str]) -> Splits | None:
    """Read the splits that a run has written, if they exist and belong to this dataset.

    They belong to the dataset when they name its folder. When the folder that they name does not exist, as after a
    move, they belong to it when the dataset has all their stems.

    Returns:
        the splits, without stems that the dataset lacks; None when they do not belong to it.

    Raises:
        ValueError: when the file cannot be read.
    """
    if not path.is_file():
        return None
    (splits, _), origin = _parse(path), read_json(path).get(DATASET)
    known = {unicodedata.normalize("NFC", stem): stem for stem in stems}
    listed = set().union(*splits.values())
    if isinstance(origin, str) and Path(origin).is_dir():
        same = Path(origin).samefile(dataset_dir)
    else:
        same = listed <= known.keys()
    if not same:
        return None
    return {name: [known[stem] for stem in splits.get(name, []) if stem in known] for name in SPLIT_NAMES}


def refuse_trained(splits: Splits, trained: Splits, path: Path) -> None:
    """Refuse to test images that a run has trained on or chosen its checkpoint with.

    Raises:
        ValueError: when the test split holds such images.
    """
    seen = sorted(set(splits["test"]) & {*trained["train"], *trained["val"]})
    if seen:
        raise ValueError(
            f"the split 'test' holds {len(seen)} images that the run of {path} has trained on or chosen its checkpoint "
            f"with: {shorten(seen)}; give that file as splits_file, or set trained_splits to null to test them anyway."
        )


def _parse(path: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the splits in a file, and the stems that it lists as left out."""
    if not path.is_file():
        raise FileNotFoundError(f"no splits file {path}; give another splits_file.")
    content = read_json(path)
    if isinstance(content, dict):
        content.pop(DATASET, None)
    names = set(content) - {LEFT_OUT} if isinstance(content, dict) else set()
    if not {"train"} <= names <= set(SPLIT_NAMES) or len(names) < 2:
        raise ValueError(
            f"{path} must be one JSON object with the keys {', '.join(SPLIT_NAMES)} and no others; val or test may be "
            "left out."
        )
    for name, stems in content.items():
        if not isinstance(stems, list) or not all(isinstance(stem, str) for stem in stems):
            raise ValueError(f"{path}: {name!r} must be a list of file names without suffix.")
    listed = {name: [unicodedata.normalize("NFC", stem) for stem in stems] for name, stems in content.items()}
    return {name: listed[name] for name in SPLIT_NAMES if name in listed}, listed.get(LEFT_OUT, [])
