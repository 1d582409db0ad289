"""Finding images that are there twice: the same bytes, or nearly the same picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

__all__ = ["near_duplicates", "same_bytes"]

BEGINNING = 8192  # bytes
ROWS = 1024  # of a table of distances, so that 3,000 x 500 pictures take a few megabytes


def same_bytes(paths: Iterable[Path]) -> list[list[Path]]:
    """Find files with the same bytes. Only those of the same size and beginning are read to the end.

    Returns:
        the groups of two or more, in the order of the paths.
    """
    alike = _grouped((path.stat().st_size, path) for path in dict.fromkeys(paths))
    with ThreadPoolExecutor() as pool:
        for digest in (_digest_beginning, _digest):
            paths = [path for group in alike for path in group]
            alike = _grouped(zip(pool.map(digest, paths), paths, strict=True))
    return alike


def near_duplicates(
    hashes: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray], distance: int
) -> Iterator[tuple[str, str, int]]:
    """Find pictures of two sets that look nearly the same.

    Args:
        hashes: the perceptual hash of each picture, bool of shape (bits,).
        others: those of the other set.
        distance: the most bits in which they may differ.

    Yields:
        a name of each set, and in how many bits they differ.
    """
    if not hashes or not others:
        return
    names, other_names = list(hashes), list(others)
    columns = _signs(list(others.values()))
    for start in range(0, len(names), ROWS):
        rows = _signs([hashes[name] for name in names[start : start + ROWS]])
        # of n bits written as 1 and -1, equal ones add 1 to the product and different ones take 1 away
        different = (rows.shape[1] - rows @ columns.T) / 2
        for row, column in np.argwhere(different <= distance):
            yield names[start + row], other_names[column], int(different[row, column])


def _signs(hashes: Sequence[np.ndarray]) -> np.ndarray:
    return np.where(np.stack(hashes), np.float32(1), np.float32(-1))


def _grouped(keyed: Iterable[tuple[object, Path]]) -> list[list[Path]]:
    groups: dict[object, list[Path]] = {}
    for key, path in keyed:
        groups.setdefault(key, []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _digest_beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.sha256(f"{path.stat().st_size} ".encode() + file.read(BEGINNING)).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
