"""How fast, and with how much memory, the project trains and segments, against a plain reference on the same machine.

python benchmarks/speed.py [--repeats 5] [--only vpt,memory] [--precision auto] [--threads 2]

CLIPSeg at its published size with random weights, batches of four, depth 9. The reference is ``plain_clipseg.py``;
both sides are checked to give the same logits before anything is timed. Operations are counted and held against the
rate of a matrix product on this machine, in the numbers that a side computes in: the fraction of the roof. The same on
CUDA, where there is a device.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from comparisons import CLASSES, Contest
from full_size import IMAGE_SIZE, save_full_size
from measuring import Clock, Side, alternate, matrix_rate, peak_memory
from rich.console import Console
from rich.table import Table
from starting import seconds_to_first_step

from monai_tunevlseg.networks import BaseModel, choose_precision, load_clipseg

STEPS = ("vpt", "maple", "shared_attention", "shared_separate")
CACHED_STEPS = ("coop", "cocoop")
INFERENCES = {"inference_1": 1, "inference_19": 19}
ROWS = (*STEPS, *CACHED_STEPS, *INFERENCES, "memory", "start")
TARGETS = dict.fromkeys(STEPS, ">= 3") | dict.fromkeys(CACHED_STEPS, ">= 15")
TARGETS |= {"inference_1": ">= 3", "inference_19": ">= 15"}
NUMBERS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16-amp": torch.float16}
TOLERANCE = {"fp32": 1e-4, "bf16": 0.06, "fp16-amp": 0.02}
"""How far the norm of the logits' difference may be, relative to the norm of the reference's logits.

In float32, where both sides must do the same sums, 2e-6 is measured, and 3e-3 to 2e-2 when the contexts of the layers
change places. What comes on top in other numbers is rounding: to 4e-3 in bfloat16, in one layer after the other, which
is measured to give 3e-2 with random weights; float16 rounds an eighth of that.
"""


class Benchmark:
    """The table, row by row; a row is printed as soon as it is measured."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        self.precision = choose_precision(arguments.precision, self.device)
        self.base_model = load_base(arguments.base)
        self.clock = Clock(self.device, arguments.clock == "cpu")
        self.rates = [matrix_rate(self.clock, numbers) for numbers in (torch.float32, NUMBERS[self.precision])]
        self.console = Console(width=160)
        self.table = Table("work", "reference", "project", "ratio", "wanted", "GFLOP", "of the roof")

    def contest(self, method: str) -> Contest:
        """Build both sides for a method."""
        arguments = self.arguments
        sizes = (arguments.depth, arguments.batch, arguments.size, self.device)
        contest = Contest(self.base_model, method, *sizes)
        for precision in dict.fromkeys(("fp32", self.precision)):
            difference = contest.compute_in(precision).difference()
            if not difference <= TOLERANCE[precision]:
                raise RuntimeError(
                    f"reference and project differ by {difference:.1e} with {method} in {precision}; nothing was timed."
                )
        return contest

    def works(self, name: str) -> tuple[Callable[[], object], Callable[[], object]]:
        """Return both sides' work of a row."""
        if name in INFERENCES:
            return self.contest("vpt").inferences(CLASSES[: INFERENCES[name]])
        return self.contest(name).training_steps(cached=name in CACHED_STEPS)

    def add(self, work: str, reference: Side, project: Side) -> None:
        """Add a row of times."""
        ratio = reference.median / project.median
        sides = zip((reference, project), self.rates, strict=True)
        roof = [f"{side.operations / side.median / rate:.0%}" for side, rate in sides]
        counted = [f"{side.operations / 1e9:.0f}" for side in (reference, project)]
        row = (work, spread(reference), spread(project), f"{ratio:.2f}", TARGETS[work])
        self.add_row(*row, " / ".join(counted), " / ".join(roof))

    def add_row(self, *cells: str) -> None:
        """Add a row, and show it at once."""
        self.table.add_row(*cells)
        self.console.log("  ".join(cells))

    def run(self) -> None:
        """Measure what was asked for, and print the table."""
        for name in self.arguments.only:
            if name == "memory":
                self.measure_memory()
            elif name == "start":
                seconds = seconds_to_first_step(self.arguments.base)
                self.add_row("second start", "", f"{seconds:.1f} s", "", "< 15 s", "", "")
            else:
                self.add(name, *alternate(*self.works(name), self.arguments.repeats, self.clock))
        self.table.title = title(self.arguments, self.rates)
        self.console.print(self.table)

    def measure_memory(self) -> None:
        """Measure each side in a process of its own."""
        peaks = {}
        for side in ("reference", "project"):
            command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", side, "--base", str(self.arguments.base)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[side] = json.loads(output.splitlines()[-1])
        reference, project = peaks["reference"], peaks["project"]
        for what, index in (("memory, whole process", 0), ("memory, the step alone", 1)):
            cells = (f"{reference[index] / 2**20:.0f} MiB", f"{project[index] / 2**20:.0f} MiB")
            self.add_row(what, *cells, f"{project[index] / reference[index]:.2f}", "<= 0.6", "", "")


def load_base(folder: Path) -> BaseModel:
    """Load the base model of full size, which is written first where it is not there."""
    return load_clipseg(save_full_size(folder))


def memory_of(arguments: argparse.Namespace) -> None:
    """Print the peak of one VPT step, and how much of it the step added, in bytes."""
    device = torch.device(arguments.device)
    sizes = (arguments.depth, arguments.batch, arguments.size, device)
    precision = choose_precision(arguments.precision, device)
    contest = Contest(load_base(arguments.base), "vpt", *sizes).compute_in(precision)
    plain, project = contest.training_steps()
    peak, before = peak_memory(plain if arguments.memory_of == "reference" else project, device)
    sys.stdout.write(f"\n{json.dumps([peak, peak - before])}\n")


def spread(side: Side) -> str:
    """Write median, minimum and maximum."""
    return f"{side.median:.3g} s [{min(side.seconds):.3g}, {max(side.seconds):.3g}]"


def title(arguments: argparse.Namespace, rates: Sequence[float]) -> str:
    """Say what was measured and where."""
    load = "/".join(f"{load:.1f}" for load in os.getloadavg())
    products = " / ".join(f"{rate / 1e9:.0f}" for rate in rates)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{torch.get_num_threads()} threads"
    return (
        f"{arguments.batch} images of {arguments.size} x {arguments.size}, depth {arguments.depth}, {device}, "
        f"{choose_precision(arguments.precision, arguments.device)}, "
        f"{arguments.clock} time, median of {arguments.repeats} [least, most], "
        f"matrix product {products} GFLOP/s, load {load}"
    )


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", type=lambda names: names.split(","), default=ROWS, help=f"of {', '.join(ROWS)}")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=IMAGE_SIZE)
    parser.add_argument("--depth", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto", help="the project's; the reference computes in float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a machine that others use too"
    )
    parser.add_argument("--base", type=Path, help="folder for the base model; default: a temporary one")
    parser.add_argument("--memory-of", choices=("reference", "project"), help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    """Measure, or be the child that measures the memory of one side."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        arguments.base = arguments.base or Path(temporary)
        if arguments.memory_of:
            memory_of(arguments)
        else:
            Benchmark(arguments).run()


if __name__ == "__main__":
    main()
