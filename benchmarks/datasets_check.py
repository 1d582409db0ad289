"""Speed of `tunevlseg datasets check`, compared with decoding by Pillow on all cores.

python benchmarks/datasets_check.py [--images 2000] [--size 512] [--suffix .jpg] [--rounds 3]

Writes a dataset of images with masks to a temporary folder, decodes all files with Pillow in a thread pool
(`Image.open(path).load()` only) and runs the whole check, in turn, and prints the best time of each.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from monai_tunevlseg.data import DatasetSpec
from monai_tunevlseg.data.checks.dataset_check import check_dataset


def write_sample(folder: Path, number: int, size: int, suffix: str) -> None:
    """Write an image with large shapes and fine texture, and the mask of a disc; both depend on the number."""
    rng = np.random.default_rng(number)
    shapes = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(shapes, np.float32) + rng.standard_normal((size, size, 1), np.float32) * 6
    rows, columns = np.mgrid[:size, :size]
    row, column, radius = rng.integers(size // 4, 3 * size // 4, 2).tolist() + [size // 8]
    disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number:05d}{suffix}")
    Image.fromarray(disc.astype(np.uint8) * 255).save(folder / "masks" / f"{number:05d}.png")


def decode(path: Path) -> None:
    """Decode a file."""
    with Image.open(path) as image:
        image.load()


def decode_all(paths: list[Path]) -> None:
    """Decode files on all cores."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, paths))


def check(folder: Path) -> None:
    """Run the check, which must find neither errors nor warnings."""
    report = check_dataset(DatasetSpec(folder, ["disc"]))
    if report.errors or report.warnings:
        raise RuntimeError(f"the dataset has problems: {report.errors} {report.warnings}")


def seconds(workload: Callable[[], None]) -> float:
    """Measure a call."""
    start = time.perf_counter()
    workload()
    return time.perf_counter() - start


def main() -> None:
    """Write the dataset, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--suffix", default=".jpg", choices=(".jpg", ".png"))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("images", "masks"):
            (folder / part).mkdir()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda n: write_sample(folder, n, arguments.size, arguments.suffix), range(arguments.images)))
        images, masks = (sorted((folder / part).iterdir()) for part in ("images", "masks"))
        workloads = {
            "Pillow, images": lambda: decode_all(images),
            "Pillow, images and masks": lambda: decode_all(images + masks),
            "datasets check": lambda: check(folder),
        }
        times = {name: seconds(workload) for name, workload in workloads.items()}
        for _ in range(arguments.rounds - 1):
            times = {name: min(times[name], seconds(workload)) for name, workload in workloads.items()}
    table = Table("", "seconds", "images per second", "speed relative to Pillow", title=title(arguments))
    baseline = times["Pillow, images and masks"]
    for name, best in times.items():
        table.add_row(name, f"{best:.2f}", f"{arguments.images / best:.0f}", f"{baseline / best:.0%}")
    Console().print(table)


def title(arguments: argparse.Namespace) -> str:
    """Return the title of the table: sizes and machine."""
    load = "/".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{arguments.images} images of {arguments.size} x {arguments.size} ({arguments.suffix}) with masks, "
        f"{os.cpu_count()} cores, best of {arguments.rounds}, load {load}"
    )


if __name__ == "__main__":
    main()
