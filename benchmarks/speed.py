"""Speed and memory of training and inference, compared with a reference on the same machine.

python benchmarks/speed.py [--repeats 5] [--only vpt,memory] [--precision auto] [--threads 2]

CLIPSeg at its published size with random weights, batches of four, depth 9. The reference is ``reference_clipseg.py``;
before anything is timed, both must give the same logits. The column "of matmul peak" is the rate of operations relative
to that of a matrix product on this machine in the same data type. Runs on CUDA if a device is available.
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
from full_size_clipseg import IMAGE_SIZE, save_full_size
from measurement import Clock, Measurement, matmul_rate, measure_alternately, peak_memory
from rich.console import Console
from rich.table import Table
from startup import seconds_to_first_step
from workloads import CLASSES, Workloads

from monai_tunevlseg.networks import BaseModel, choose_precision, load_clipseg

STEPS = ("vpt", "maple", "shared_attention", "shared_separate", "lora", "vlsm_adapter", "telescopic_adapter")
CACHED_STEPS = ("coop", "cocoop")
INFERENCES = {"inference_1": 1, "inference_19": 19}
ROWS = (*STEPS, *CACHED_STEPS, *INFERENCES, "memory", "start")
TARGETS = dict.fromkeys(STEPS, ">= 3") | dict.fromkeys(CACHED_STEPS, ">= 15")
TARGETS |= {"inference_1": ">= 3", "inference_19": ">= 15"}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16-amp": torch.float16}
TOLERANCE = {"fp32": 3e-5, "bf16": 0.06, "fp16-amp": 0.02}
"""Maximum norm of the difference between both logits, relative to the norm of the reference's.

Measured in float32: 2e-6; 3e-3 to 2e-2 with the contexts of layers swapped; and 8e-5 or more without one of LoRA's
updates or one bottleneck. The other data types add rounding: 4e-3 per layer in bfloat16, measured to give 3e-2 in total
with random weights; an eighth of that in float16.
"""


class SpeedTable:
    """The table, whose rows are printed when they are measured."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        self.precision = choose_precision(arguments.precision, self.device)
        self.base_model = load_base(arguments.base)
        self.clock = Clock(self.device, arguments.clock == "cpu")
        self.rates = [matmul_rate(self.clock, dtype) for dtype in (torch.float32, DTYPES[self.precision])]
        self.console = Console(width=160)
        self.table = Table("workload", "reference", "project", "ratio", "target", "GFLOP", "of matmul peak")

    def checked_workloads(self, method: str) -> Workloads:
        """Build reference and project for a method, and check that their logits agree."""
        arguments = self.arguments
        sizes = (arguments.depth, arguments.batch, arguments.size, self.device)
        workloads = Workloads(self.base_model, method, *sizes)
        for precision in dict.fromkeys(("fp32", self.precision)):
            difference = workloads.compute_in(precision).difference()
            if not difference <= TOLERANCE[precision]:
                raise RuntimeError(f"reference and project differ by {difference:.1e} with {method} in {precision}.")
        return workloads

    def build(self, name: str) -> tuple[Callable[[], object], Callable[[], object]]:
        """Return the workload of a row, of the reference and of the project."""
        if name in INFERENCES:
            return self.checked_workloads("vpt").inferences(CLASSES[: INFERENCES[name]])
        return self.checked_workloads(name).training_steps(cached=name in CACHED_STEPS)

    def add_times(self, workload: str, reference: Measurement, project: Measurement) -> None:
        """Add a row for a timed workload."""
        ratio = reference.median / project.median
        measured = (reference, project)
        of_peak = [f"{m.operations / m.median / rate:.0%}" for m, rate in zip(measured, self.rates, strict=True)]
        operations = [f"{m.operations / 1e9:.0f}" for m in measured]
        row = (workload, times_text(reference), times_text(project), f"{ratio:.2f}", TARGETS[workload])
        self.add_row(*row, " / ".join(operations), " / ".join(of_peak))

    def add_row(self, *cells: str) -> None:
        """Add a row, and print it."""
        self.table.add_row(*cells)
        self.console.log("  ".join(cells))

    def run(self) -> None:
        """Measure the rows of ``--only``, and print the table."""
        for name in self.arguments.only:
            if name == "memory":
                self.measure_memory()
            elif name == "start":
                seconds = seconds_to_first_step(self.arguments.base)
                self.add_row("second start", "", f"{seconds:.1f} s", "", "< 15 s", "", "")
            else:
                self.add_times(name, *measure_alternately(*self.build(name), self.arguments.repeats, self.clock))
        self.table.title = table_title(self.arguments, self.rates)
        self.console.print(self.table)

    def measure_memory(self) -> None:
        """Measure reference and project in a process each."""
        peaks = {}
        for name in ("reference", "project"):
            command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name, "--base", str(self.arguments.base)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[name] = json.loads(output.splitlines()[-1])
        reference, project = peaks["reference"], peaks["project"]
        for title, index in (("memory, whole process", 0), ("memory, the step only", 1)):
            cells = (f"{reference[index] / 2**20:.0f} MiB", f"{project[index] / 2**20:.0f} MiB")
            self.add_row(title, *cells, f"{project[index] / reference[index]:.2f}", "<= 0.6", "", "")


def load_base(folder: Path) -> BaseModel:
    """Load the base model of full size; write it first if the folder does not hold it."""
    return load_clipseg(save_full_size(folder))


def print_memory(arguments: argparse.Namespace) -> None:
    """Print the peak memory of one VPT step, and the part that the step added, in bytes."""
    device = torch.device(arguments.device)
    sizes = (arguments.depth, arguments.batch, arguments.size, device)
    precision = choose_precision(arguments.precision, device)
    workloads = Workloads(load_base(arguments.base), "vpt", *sizes).compute_in(precision)
    reference, project = workloads.training_steps()
    peak, before = peak_memory(reference if arguments.memory_of == "reference" else project, device)
    sys.stdout.write(f"\n{json.dumps([peak, peak - before])}\n")


def times_text(measured: Measurement) -> str:
    """Return median, minimum and maximum."""
    return f"{measured.median:.3g} s [{min(measured.seconds):.3g}, {max(measured.seconds):.3g}]"


def table_title(arguments: argparse.Namespace, rates: Sequence[float]) -> str:
    """Return the title of the table: sizes and machine."""
    load = "/".join(f"{load:.1f}" for load in os.getloadavg())
    products = " / ".join(f"{rate / 1e9:.0f}" for rate in rates)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{torch.get_num_threads()} threads"
    return (
        f"{arguments.batch} images of {arguments.size} x {arguments.size}, depth {arguments.depth}, {device}, "
        f"{choose_precision(arguments.precision, arguments.device)}, "
        f"{arguments.clock} time, median of {arguments.repeats} [min, max], "
        f"matrix product {products} GFLOP/s, load {load}"
    )


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", type=lambda names: names.split(","), default=ROWS, help=",".join(ROWS))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=IMAGE_SIZE)
    parser.add_argument("--depth", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto", help="of the project; the reference is in float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU time on a busy machine")
    parser.add_argument("--base", type=Path, help="folder of the base model; a temporary one by default")
    parser.add_argument("--memory-of", choices=("reference", "project"), help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    """Measure everything, or in a child process the memory of one workload."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        arguments.base = arguments.base or Path(temporary)
        if arguments.memory_of:
            print_memory(arguments)
        else:
            SpeedTable(arguments).run()


if __name__ == "__main__":
    main()
