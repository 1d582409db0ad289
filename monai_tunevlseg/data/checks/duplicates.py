"""Duplicates: identical files, and pictures that look nearly the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

__all__ = [
    "HASH_BITS",
    "fine_details",
    "group_identical_files",
    "group_near_duplicates",
    "perceptual_hash",
]

HASH_SIZE = 16
HASH_BITS = HASH_SIZE**2
HASHED_SIZE = 4 * HASH_SIZE
"""Size that ImageHash reduces a picture to before it takes the lowest frequencies."""
DETAILS = 32
GAP = 2
REDUCED_SIZE = GAP * HASHED_SIZE
"""A quick average reduces pictures to this size, before a good filter reduces them further."""
BEGINNING = 8192  # bytes
ROWS = 256  # rows of the table of distances at a time, so that 10,000 pictures take about ten megabytes
CORRELATION = 0.9
"""Minimum correlation of the details of near-duplicates. Real pictures of six datasets at another brightness, contrast,
size or quality, or with marks drawn on them, kept at least 0.85, and nine tenths of them 0.96; different pictures of
one dataset reached 0.81."""


def group_identical_files(paths: Iterable[Path]) -> list[list[Path]]:
    """Group files with identical bytes; only files of the same size and beginning are read to the end.

    Returns:
        the groups of two or more files, in the order of the paths.
    """
    groups = _grouped((path.stat().st_size, path) for path in dict.fromkeys(paths))
    with ThreadPoolExecutor() as pool:
        for digest in (_digest_beginning, _digest):
            paths = [path for group in groups for path in group]
            groups = _grouped(zip(pool.map(digest, paths), paths, strict=True))
    return groups


def group_near_duplicates(bits: np.ndarray, details: np.ndarray, distance: int) -> list[list[int]]:
    """Group pictures that look nearly the same; a picture that resembles one of a group belongs to it.

    Two pictures look nearly the same when their hashes differ in few bits and their details correlate, because hashes
    of different pictures of one kind, such as two ultrasound scans, may be close by chance.

    Args:
        bits: the perceptual hash of each of N pictures, bool of shape (N, bits).
        details: the fine details of each picture, float32 of shape (N, values) and of length 1.
        distance: maximum Hamming distance of two hashes, in bits.

    Returns:
        the indices of the pictures in each group of two or more.
    """
    signs = np.where(bits, np.float32(1), np.float32(-1))
    group = np.arange(len(bits))
    for start in range(0, len(bits), ROWS):
        rows = slice(start, start + ROWS)
        # with bits as 1 and -1, equal bits add 1 to the product and different bits subtract 1
        different = (bits.shape[1] - signs[rows] @ signs[start:].T) / 2
        close = (different <= distance) & (details[rows] @ details[start:].T >= CORRELATION)
        group = _merge(group, *(start + found for found in np.nonzero(close)))
    numbers = np.argsort(group, kind="stable")
    parts = np.split(numbers, np.flatnonzero(np.diff(group[numbers])) + 1)
    return sorted(part.tolist() for part in parts if len(part) > 1)


def perceptual_hash(gray: Image.Image) -> np.ndarray:
    """Hash the look of a picture: pictures that look the same differ in few bits.

    Args:
        gray: 8-bit gray.

    Returns:
        bool of shape (HASH_BITS,): the `phash` of ImageHash, in a fraction of its time for large pictures.
    """
    import imagehash

    small = gray.resize((HASHED_SIZE, HASHED_SIZE), Image.Resampling.LANCZOS, reducing_gap=GAP)
    return imagehash.phash(small, hash_size=HASH_SIZE).hash.ravel()


def fine_details(gray: Image.Image) -> np.ndarray:
    """Return the details smaller than a tenth of a picture, independent of its brightness and contrast.

    Args:
        gray: 8-bit gray.

    Returns:
        float32 of shape (DETAILS**2,) and of length 1, or 0 for a uniform picture; the dot product of the details of
        two pictures is their correlation.
    """
    small = np.asarray(gray.resize((DETAILS, DETAILS), Image.Resampling.BOX, reducing_gap=GAP), np.float32)
    fine = (small - gaussian_filter(small, DETAILS / 10)).ravel()
    fine -= fine.mean()
    return fine / max(float(np.linalg.norm(fine)), np.finfo(np.float32).tiny)


def _merge(group: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Unite the groups of linked pictures."""
    links = coo_matrix((np.ones(len(one), bool), (group[one], group[other])), shape=(len(group), len(group)))
    return connected_components(links, directed=False)[1][group]


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
