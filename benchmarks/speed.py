"""Speed and memory of training and inference, compared with a reference on the same machine.

python benchmarks/speed.py [--repeats 5] [--only vpt,memory] [--precision auto] [--threads 2]

VLSMs at their published size with random weights, depth 9; CLIPSeg in batches of four, SAM 3 in single images. The
references are ``reference_clipseg.py`` and ``reference_sam3.py``; before anything is timed, both must give the same
logits as the project. The column "of matmul peak" is the rate of operations relative to that of a matrix product on
this machine in the same data type. The second table compares the project with the same references under
``torch.set_float32_matmul_precision("medium")``. The row ``pipeline`` compares ``inference.yaml``, from images on disk
to masks on disk, with its network alone. Runs on CUDA if a device is available.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from benchmarked_models import MODELS
from full_size import IMAGES, load_full_size, save_full_size
from measurement import Clock, Measurement, in_medium_precision, matmul_rate, measure_alternately, peak_memory
from pipeline import pipeline_workloads
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from startup import seconds_to_first_step
from workloads import CLASSES, Workloads

from monai_tunevlseg.networks import choose_precision


@dataclass(frozen=True)
class Row:
    """A timed row.

    Attributes:
        model: registered name of the VLSM.
        method: name of the method.
        classes: number of classes of inference; None for a training step.
        cached: whether the training step is one after the first epoch, with the feature cache.
    """

    model: str
    method: str
    classes: int | None = None
    cached: bool = False


STEPS = ("vpt", "maple", "shared_attention", "shared_separate", "lora", "vlsm_adapter", "telescopic_adapter")
TIMED = {
    **{method: Row("clipseg", method) for method in STEPS},
    **{method: Row("clipseg", method, cached=True) for method in ("coop", "cocoop")},
    "inference_1": Row("clipseg", "vpt", classes=1),
    "inference_19": Row("clipseg", "vpt", classes=19),
    "sam3_coop": Row("sam3", "coop"),
    "sam3_coop_cached": Row("sam3", "coop", cached=True),
    "sam3_inference_1": Row("sam3", "coop", classes=1),
    "sam3_inference_19": Row("sam3", "coop", classes=19),
}
MEMORY = {"memory": "vpt"} | {f"{name}_memory": name for name, row in TIMED.items() if row.model == "sam3"}
"""Timed rows by the name of the row of their memory."""
TARGETS = {
    **dict.fromkeys(("vpt", "maple", "shared_separate", "lora"), (">= 5", ">= 1.5")),
    "shared_attention": (">= 4", ">= 1.5"),
    **dict.fromkeys(("coop", "cocoop"), (">= 30", ">= 20")),
    "inference_1": (">= 8", ">= 1.5"),
    "inference_19": (">= 60", ">= 20"),
    "memory": ("<= 0.5", "<= 0.7"),
}
"""Ratios that the project aims at, in 16 bits and in float32."""
PIPELINE_RUNS = 8  # of --images each
ROWS = sorted((*TIMED, *MEMORY, "start", "pipeline"), key=lambda name: name.startswith("sam3"))
SIDES = ("reference", "project")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16-amp": torch.float16}
TOLERANCE = {"fp32": 3e-5, "fp16-amp": 0.02}
"""Maximum norm of the difference between both logits, relative to the norm of the reference's; that in bfloat16 is
the model's own.

A faulty network is found in float32, which is always checked. Measured there: 2e-6; 3e-3 to 2e-2 with the contexts of
layers swapped; and 8e-5 or more without one of LoRA's updates or one bottleneck. The other data types add rounding:
in bfloat16, CLIPSeg's logits differ by up to 9e-3 and SAM 3's by 2.2e-2 with random weights; float16 rounds to an
eighth of that.
"""


class SpeedTable:
    """The tables; the rows of the first are printed when they are measured."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        self.precision = choose_precision(arguments.precision, self.device)
        self.clock = Clock(self.device, arguments.clock == "cpu")
        images = arguments.batch or MODELS["clipseg"].batch
        self.rates = [matmul_rate(self.clock, dtype, images) for dtype in (torch.float32, DTYPES[self.precision])]
        self.workloads: dict[tuple[str, str], Workloads] = {}
        self.console = Console(width=160)
        self.table = Table("workload", "reference", "project", "ratio", "target", "GFLOP", "of matmul peak")
        self.medium_table = Table("workload", "reference in medium precision", "project", "ratio")

    def checked_workloads(self, row: Row) -> Workloads:
        """Build the reference and the project's network of a row, unless the last row had the same."""
        key = (row.model, row.method)
        if key not in self.workloads:
            self.workloads.clear()  # at most one base model in memory
            self.workloads[key] = build_workloads(row, self.arguments)
            self.check(row, self.workloads[key])
        return self.workloads[key]

    def check(self, row: Row, workloads: Workloads) -> None:
        """Check that the logits of reference and project agree."""
        tolerance = TOLERANCE | {"bf16": MODELS[row.model].rounding}
        for precision, difference in workloads.differences(dict.fromkeys(("fp32", self.precision))).items():
            if not difference <= tolerance[precision]:
                what = f"{row.model} with {row.method} in {precision}"
                raise RuntimeError(f"reference and project differ by {difference:.1e}: {what}.")

    def time(self, name: str) -> None:
        """Add a row for a timed workload."""
        row = TIMED[name]
        repeats = self.arguments.repeats or MODELS[row.model].repeats
        run_reference, run_project = sides_of(row, self.checked_workloads(row))
        workloads = (run_reference, run_project, in_medium_precision(run_reference))
        reference, project, medium = measure_alternately(workloads, repeats, self.clock)
        both = reference, project
        of_peak = [f"{side.operations / side.median / rate:.0%}" for side, rate in zip(both, self.rates, strict=True)]
        operations = [f"{side.operations / 1e9:.0f}" for side in both]
        times = compared(name, reference, project)
        self.add_row(*times, self.target(name), " / ".join(operations), " / ".join(of_peak))
        self.medium_table.add_row(*compared(name, medium, project))

    def target(self, name: str) -> str:
        """Return the ratio that the project aims at in the table's precision; empty for none."""
        return TARGETS.get(name, ("", ""))[self.precision == "fp32"]

    def time_pipeline(self) -> None:
        """Add a row for inference from disk to disk, whose reference is the project's network alone."""
        self.workloads.clear()
        base, count = save_full_size("clipseg", self.arguments.bases), self.arguments.images
        with tempfile.TemporaryDirectory() as name:
            workloads = pipeline_workloads(base, Path(name), count, self.arguments.depth, self.precision, self.device)
            network, whole = measure_alternately(workloads, self.arguments.repeats or PIPELINE_RUNS, self.clock)
        cells = compared(f"pipeline, {count} images from disk to disk; reference: network alone", network, whole)
        self.add_row(*cells, ">= 0.85", "", "")

    def add_row(self, *cells: str) -> None:
        """Add a row, and print it."""
        self.table.add_row(*cells)
        self.console.log("  ".join(cells))

    def run(self) -> None:
        """Measure the rows of ``--only``, and print the tables."""
        for name in self.arguments.only:
            if name in MEMORY:
                self.measure_memory(name)
            elif name == "start":
                seconds = seconds_to_first_step(save_full_size("clipseg", self.arguments.bases))
                self.add_row("second start", "", f"{seconds:.1f} s", "", "< 15 s", "", "")
            elif name == "pipeline":
                self.time_pipeline()
            else:
                self.time(name)
        self.table.title = escape(table_title(self.arguments, self.rates))
        tables = [table for table in (self.table, self.medium_table) if table.row_count]
        for table in tables:
            self.console.print(table)
        if self.arguments.json:
            content = {"title": table_title(self.arguments, self.rates), "tables": [rows_of(table) for table in tables]}
            self.arguments.json.write_text(json.dumps(content), encoding="utf-8")

    def measure_memory(self, name: str) -> None:
        """Measure reference and project in a process each."""
        self.workloads.clear()
        save_full_size(TIMED[MEMORY[name]].model, self.arguments.bases)
        peaks = {}
        for side in SIDES:
            command = [sys.executable, __file__, *sys.argv[1:], "--only", name, "--memory-of", side]
            command += ["--bases", str(self.arguments.bases)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[side] = json.loads(output.splitlines()[-1])
        reference, project = peaks["reference"], peaks["project"]
        for part, index in (("whole process", 0), ("the workload only", 1)):
            cells = (f"{reference[index] / 2**20:.0f} MiB", f"{project[index] / 2**20:.0f} MiB")
            ratio = f"{project[index] / reference[index]:.2f}"
            self.add_row(f"{name}, {part}", *cells, ratio, self.target(name), "", "")


def rows_of(table: Table) -> list[dict[str, str]]:
    """Return the rows of a table by column."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    names, *rows = zip(*columns, strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def build_workloads(row: Row, arguments: argparse.Namespace) -> Workloads:
    """Load the base model of a row, and build its reference and the project's network."""
    base_model = load_full_size(row.model, arguments.bases)
    batch, size = arguments.batch or MODELS[row.model].batch, arguments.size or IMAGES[row.model].size
    device = torch.device(arguments.device)
    return Workloads(row.model, base_model, row.method, arguments.depth, batch, size, device)


def sides_of(row: Row, workloads: Workloads) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the workload of a row, of the reference and of the project."""
    if row.classes is not None:
        return workloads.inferences(CLASSES[: row.classes])
    return workloads.training_steps(row.cached)


def print_memory(arguments: argparse.Namespace) -> None:
    """Print the peak memory of one run of a workload, and the part that the run added, in bytes."""
    row, device = TIMED[MEMORY[arguments.only[0]]], torch.device(arguments.device)
    workloads = build_workloads(row, arguments)
    workloads.project.compute_in(choose_precision(arguments.precision, device))
    sides = dict(zip(SIDES, sides_of(row, workloads), strict=True))
    workload = sides.pop(arguments.memory_of)
    del workloads, sides  # the other side's weights
    peak, before = peak_memory(workload, device)
    sys.stdout.write(f"\n{json.dumps([peak, peak - before])}\n")


def compared(name: str, reference: Measurement, project: Measurement) -> tuple[str, str, str, str]:
    """Return a row's name, the times of both sides, and their ratio."""
    return name, times_text(reference), times_text(project), f"{reference.median / project.median:.2f}"


def times_text(measured: Measurement) -> str:
    """Return median, minimum and maximum."""
    return f"{measured.median:.3g} s [{min(measured.seconds):.3g}, {max(measured.seconds):.3g}]"


def table_title(arguments: argparse.Namespace, rates: Sequence[float]) -> str:
    """Return the title of the table: sizes and machine."""
    load = "/".join(f"{load:.1f}" for load in os.getloadavg())
    products = " / ".join(f"{rate / 1e9:.0f}" for rate in rates)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{torch.get_num_threads()} threads"
    images = ", ".join(
        f"{name} {arguments.batch or model.batch} x {arguments.size or IMAGES[name].size} px"
        for name, model in MODELS.items()
    )
    return (
        f"{images}, depth {arguments.depth}, {device}, "
        f"{choose_precision(arguments.precision, arguments.device)}, "
        f"{arguments.clock} time, median [min, max], matrix product {products} GFLOP/s, load {load}"
    )


def row_names(text: str) -> list[str]:
    """Split names of rows at commas.

    Raises:
        argparse.ArgumentTypeError: when a name is unknown.
    """
    names = text.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"unknown rows {', '.join(unknown)}; known are {', '.join(ROWS)}")
    return names


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=row_names, default=ROWS, help=",".join(ROWS))
    parser.add_argument("--repeats", type=int, help="number of timed runs; by default that of the model")
    parser.add_argument("--batch", type=int, help="number of images; by default that of the model")
    parser.add_argument("--size", type=int, help="side of the images in pixels; the published one by default")
    parser.add_argument("--images", type=int, default=64, help="images of a run of the row pipeline")
    parser.add_argument("--depth", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto", help="of the project; the reference is in float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU time on a busy machine")
    parser.add_argument("--bases", type=Path, help="folder of the base models' folders; a temporary one by default")
    parser.add_argument("--json", type=Path, help="JSON file for the tables")
    parser.add_argument("--memory-of", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    """Measure everything, or in a child process the memory of one workload."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.allow_tf32 = False  # the first table and the check compare with float32
    with tempfile.TemporaryDirectory() as temporary:
        arguments.bases = arguments.bases or Path(temporary)
        if arguments.memory_of:
            print_memory(arguments)
        else:
            SpeedTable(arguments).run()


if __name__ == "__main__":
    main()
