"""Costs of the ways to tune a VLSM of full size, and of a U-Net: parameters, checkpoint, time and memory of a step.

python benchmarks/costs.py [--model sam3] [--only vpt,lora] [--repeats 3] [--precision auto] [--clock cpu --threads 1]

Random weights, one text per image, defaults of the bundles; batches of four for CLIPSeg, single images for SAM 3. Each
row is measured in a process of its own, whose peak memory includes weights and libraries.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from benchmarked_models import MODELS
from full_size import IMAGES, load_full_size, save_full_size
from measurement import Clock, peak_memory
from rich.console import Console
from rich.progress import track
from rich.table import Table
from workloads import CLASSES, build_network, training_step

from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import SegmentationNetwork, UNet, choose_precision

__all__ = ["Cost", "measure_cost"]

ROWS: dict[str, tuple[str | None, str | None]] = {
    **{name: (name, None) for name in METHODS},
    **{"vpt_decoder": ("vpt", "decoder"), "decoder": (None, "decoder"), "finetune": (None, "all")},
}
"""Method and unfrozen part of the VLSM by the name of the row."""
NAMES = (*ROWS, "unet")


@dataclass(frozen=True)
class Cost:
    """Costs of one way to tune.

    Attributes:
        parameters: number of trainable parameters.
        checkpoint: size of the checkpoint in bytes.
        seconds: median time of a step.
        peak: peak memory during a step in bytes; on a CPU, of the whole process.
    """

    parameters: int
    checkpoint: int
    seconds: float
    peak: int


def measure_cost(name: str, arguments: argparse.Namespace) -> Cost:
    """Measure a row in this process."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    precision = choose_precision(arguments.precision, device)
    network = build(name, arguments).to(device).compute_in(precision).train()
    image = torch.randn(arguments.batch, 3, arguments.size, arguments.size, device=device)
    text = [CLASSES[0]] * arguments.batch

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, torch.float16, enabled=precision == "fp16-amp"):
            return network(image, text)

    step = training_step(network, forward, (image[:, :1] > 0.5).float())
    step()  # allocates the optimizer's state
    peak, _ = peak_memory(step, device)
    clock = Clock(device, arguments.clock == "cpu")
    seconds = statistics.median(clock.seconds(step) for _ in range(arguments.repeats))
    torch.save(network.state_dict(), checkpoint := io.BytesIO())
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return Cost(parameters, checkpoint.tell(), seconds, peak)


def build(name: str, arguments: argparse.Namespace) -> SegmentationNetwork:
    """Build the network of a row."""
    if name == "unet":
        return UNet(CLASSES)
    method, unfreeze = ROWS[name]
    base_model = load_full_size(arguments.model, arguments.bases)
    return build_network(arguments.model, base_model, method, arguments.depth, unfreeze)


def measure_costs(arguments: argparse.Namespace) -> Table:
    """Measure the rows of ``--only``, and return the table; times are relative to the first row."""
    load = "/".join(f"{load:.1f}" for load in os.getloadavg())
    precision = choose_precision(arguments.precision, arguments.device)
    title = (
        f"{arguments.model}, {arguments.batch} images of {arguments.size} x {arguments.size}, {arguments.device}, "
        f"{precision}, {arguments.threads} threads, {arguments.clock} time, median of {arguments.repeats}, load {load}"
    )
    table = Table("", "parameters", "checkpoint", "step", "relative", "peak memory", title=title)
    costs: list[Cost] = []
    for name in track(arguments.only, "Measuring"):
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            costs.append(cost := process.submit(measure_cost, name, arguments).result())
        step, relative = f"{cost.seconds:.2f} s", f"{cost.seconds / costs[0].seconds:.2f}"
        checkpoint, peak = f"{cost.checkpoint / 1e3:.0f} kB", f"{cost.peak / 1e6:.0f} MB"
        table.add_row(name, f"{cost.parameters:,}", checkpoint, step, relative, peak)
    return table


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), default="clipseg")
    parser.add_argument("--only", type=lambda names: names.split(","), default=NAMES, help=",".join(NAMES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, help="number of images; by default that of the model")
    parser.add_argument("--size", type=int, help="side of the images in pixels; by default that of the model")
    parser.add_argument("--depth", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU time on a busy machine")
    parser.add_argument("--bases", type=Path, help="folder of the base models' folders; a temporary one by default")
    arguments = parser.parse_args(words)
    arguments.batch = arguments.batch or MODELS[arguments.model].batch
    arguments.size = arguments.size or IMAGES[arguments.model].size
    return arguments


def main() -> None:
    """Measure, and print the table."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        arguments.bases = arguments.bases or Path(temporary)
        save_full_size(arguments.model, arguments.bases)
        Console(width=140).print(measure_costs(arguments))


if __name__ == "__main__":
    main()
