"""How fast `tunevlseg datasets check` opens a dataset, against plain decoding by Pillow on all cores.

python benchmarks/datasets_check.py [--images 2000] [--size 512] [--suffix .jpg] [--rounds 3]

Writes a dataset of that many pairs to a temporary folder, decodes all its images and masks with Pillow in a pool of
threads (`Image.open(path).load()`, nothing else), runs the whole check, in turns, and prints the best of each.
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

from monai_tunevlseg.data.checking import check_dataset
from monai_tunevlseg.data.request import Request


def write_pair(folder: Path, number: int, size: int, suffix: str) -> None:
    """Write a picture with large forms and fine texture, and the mask of a disc; both differ with the number."""
    rng = np.random.default_rng(number)
    forms = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    picture = np.asarray(forms, np.float32) + rng.standard_normal((size, size, 1), np.float32) * 6
    rows, columns = np.mgrid[:size, :size]
    row, column, radius = rng.integers(size // 4, 3 * size // 4, 2).tolist() + [size // 8]
    disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number:05d}{suffix}")
    Image.fromarray(disc.astype(np.uint8) * 255).save(folder / "masks" / f"{number:05d}.png")


def decode(path: Path) -> None:
    """Decode a file and do nothing with it."""
    with Image.open(path) as image:
        image.load()


def decode_all(paths: list[Path]) -> None:
    """Decode files on all cores."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, paths))


def check(folder: Path) -> None:
    """Run the check, and make sure that it found the dataset in order."""
    report = check_dataset(Request("folder", folder, ["disc"]))
    if report.errors or report.warnings:
        raise RuntimeError(f"the dataset is not in order: {report.errors} {report.warnings}")


def seconds(work: Callable[[], None]) -> float:
    """Measure a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Write the dataset, measure, and print the table."""
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
            list(pool.map(lambda n: write_pair(folder, n, arguments.size, arguments.suffix), range(arguments.images)))
        images, masks = (sorted((folder / part).iterdir()) for part in ("images", "masks"))
        ways = {
            "Pillow, images": lambda: decode_all(images),
            "Pillow, images and masks": lambda: decode_all(images + masks),
            "datasets check": lambda: check(folder),
        }
        times = {way: min(seconds(work) for _ in range(1)) for way, work in ways.items()}
        for _ in range(arguments.rounds - 1):
            times = {way: min(times[way], seconds(work)) for way, work in ways.items()}
    table = Table("", "seconds", "images per second", "of Pillow's speed", title=title(arguments))
    plain = times["Pillow, images and masks"]
    for way, spent in times.items():
        table.add_row(way, f"{spent:.2f}", f"{arguments.images / spent:.0f}", f"{plain / spent:.0%}")
    Console().print(table)


def title(arguments: argparse.Namespace) -> str:
    """Say what was measured and where."""
    load = "/".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{arguments.images} images of {arguments.size} x {arguments.size} ({arguments.suffix}) with masks, "
        f"{os.cpu_count()} cores, best of {arguments.rounds}, load {load}"
    )


if __name__ == "__main__":
    main()
