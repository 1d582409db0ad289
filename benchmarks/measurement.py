"""Time, operation counts and memory for the benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula, sdpa_backward_flop, sdpa_flop

__all__ = [
    "Clock",
    "Measurement",
    "count_operations",
    "in_medium_precision",
    "matmul_rate",
    "measure_alternately",
    "peak_memory",
]

Workload = Callable[[], object]

# fused kernels that torch's counter does not know; the backward one computes the scores again
aten = torch.ops.aten
register_flop_formula(aten._scaled_dot_product_flash_attention_for_cpu, get_raw=True)(sdpa_flop)
register_flop_formula(aten._scaled_dot_product_flash_attention_for_cpu_backward, get_raw=True)(sdpa_backward_flop)


@dataclass(frozen=True)
class Measurement:
    """Time and operations of one workload.

    Attributes:
        seconds: wall or CPU time of every run.
        operations: number of floating-point operations of one run.
    """

    seconds: list[float]
    operations: int

    @property
    def median(self) -> float:
        """Median time of the runs in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Clock:
    """Measures the time of workloads on a device.

    Attributes:
        device: device to synchronize with.
        cpu_time: whether to measure CPU time of this process instead of wall time; other processes hardly change it.
    """

    device: torch.device
    cpu_time: bool = False

    def seconds(self, workload: Workload) -> float:
        """Measure one run."""
        clock = time.process_time if self.cpu_time else time.perf_counter
        synchronize(self.device)
        start = clock()
        workload()
        synchronize(self.device)
        return clock() - start


def synchronize(device: torch.device) -> None:
    """Wait for all work on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_alternately(workloads: Sequence[Workload], repeats: int, clock: Clock) -> list[Measurement]:
    """Measure workloads in turn, so that other load on the machine affects all; counting is the warm-up."""
    operations = [count_operations(workload) for workload in workloads]
    rounds = [[clock.seconds(workload) for workload in workloads] for _ in range(repeats)]
    return [Measurement(list(times), count) for times, count in zip(zip(*rounds, strict=True), operations, strict=True)]


def in_medium_precision(workload: Workload) -> Workload:
    """Return a workload whose float32 products run as ``torch.set_float32_matmul_precision("medium")`` permits.

    Convolutions on CUDA use TF32, as they do by default in torch.
    """

    def run() -> object:
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.allow_tf32 = True
        try:
            return workload()
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]

    return run


def count_operations(workload: Workload) -> int:
    """Count the floating-point operations of matrix products, convolutions and attention; forward and backward."""
    with FlopCounterMode(display=False) as counter:
        workload()
    return counter.get_total_flops()


def matmul_rate(clock: Clock, dtype: torch.dtype, images: int = 4) -> float:
    """Measure the operations per second of a matrix product of the size of CLIPSeg's, the best of 50 measurements.

    Args:
        clock: measures time.
        dtype: data type of the product.
        images: number of images in a batch.
    """
    tokens, width, hidden = 489 * images, 768, 3072  # ViT-B's feed-forward layer
    repeats = 20 if clock.device.type == "cuda" else 1  # so that the launches hardly count
    rows = torch.randn(tokens, width, device=clock.device, dtype=dtype)
    weight = torch.randn(hidden, width, device=clock.device, dtype=dtype)

    def products() -> None:
        for _ in range(repeats):
            torch.nn.functional.linear(rows, weight)

    with torch.inference_mode():
        best = min(clock.seconds(products) for _ in range(50))
    return 2 * tokens * width * hidden * repeats / best


def peak_memory(workload: Workload, device: torch.device) -> tuple[int, int]:
    """Return the peak memory during a run and the memory before it, in bytes.

    On a CPU, the memory of the whole process, weights and libraries included. Linux only.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        workload()
        return torch.cuda.max_memory_allocated(device), before
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current use
    before = _process_memory("VmRSS")
    workload()
    return _process_memory("VmHWM"), before


def _process_memory(entry: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"No {entry} in /proc/self/status.")
