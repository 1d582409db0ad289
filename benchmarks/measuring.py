"""Clocks, counts and memory for the benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Clock", "Side", "alternate", "count_operations", "matrix_rate", "peak_memory"]

Work = Callable[[], object]


@dataclass(frozen=True)
class Side:
    """What one side of a comparison took.

    Attributes:
        seconds: of every run.
        operations: floating-point operations of one run, counted.
    """

    seconds: list[float]
    operations: int

    @property
    def median(self) -> float:
        """Median of the runs in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Clock:
    """Measures works on a device.

    Attributes:
        device: is waited for.
        cpu_time: count the processors' time that this process used, which other processes hardly change, instead of the
            time that passed.
    """

    device: torch.device
    cpu_time: bool = False

    def seconds(self, work: Work) -> float:
        """Measure one run."""
        clock = time.process_time if self.cpu_time else time.perf_counter
        synchronize(self.device)
        start = clock()
        work()
        synchronize(self.device)
        return clock() - start


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def alternate(first: Work, second: Work, repeats: int, clock: Clock) -> tuple[Side, Side]:
    """Measure two works in turns, so that whatever else the machine does falls on both; counting warms up."""
    operations = count_operations(first), count_operations(second)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for spent, work in zip(seconds, (first, second), strict=True):
            spent.append(clock.seconds(work))
    return Side(seconds[0], operations[0]), Side(seconds[1], operations[1])


def count_operations(work: Work) -> int:
    """Count the floating-point operations of matrix products, convolutions and attention; forward and backward."""
    # attention written out as matrix products, for the counter does not know its fused forms on every device
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def matrix_rate(clock: Clock, dtype: torch.dtype) -> float:
    """Measure the roof: operations per second of a matrix product of the network's own size, the best of many."""
    tokens, width, hidden = 1956, 768, 3072  # four images, ViT-B's feed-forward layer
    rows = torch.randn(tokens, width, device=clock.device, dtype=dtype)
    weight = torch.randn(hidden, width, device=clock.device, dtype=dtype)
    with torch.inference_mode():
        best = min(clock.seconds(lambda: torch.nn.functional.linear(rows, weight)) for _ in range(50))
    return 2 * tokens * width * hidden / best


def peak_memory(work: Work, device: torch.device) -> tuple[int, int]:
    """Return the peak memory during a run and the memory before it, in bytes.

    On a CPU that of the whole process: weights, libraries and all. Linux only.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device), before
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is in use
    before = _process_memory("VmRSS")
    work()
    return _process_memory("VmHWM"), before


def _process_memory(entry: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {entry}.")
