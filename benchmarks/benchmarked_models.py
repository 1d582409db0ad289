"""The VLSMs that the benchmarks measure, each with its reference and the sizes of its workloads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reference import Reference
from reference_clipseg import build_reference_clipseg
from reference_sam3 import build_reference_sam3
from torch import nn

from monai_tunevlseg.networks import PromptTunedNetwork

__all__ = ["MODELS", "BenchmarkedModel"]


@dataclass(frozen=True)
class BenchmarkedModel:
    """How a VLSM is measured.

    Attributes:
        build_reference: builds the reference of a base model and a network of the project.
        batch: number of images.
        repeats: number of timed runs of each workload.
        rounding: tolerance of the logits in bfloat16, relative to their norm.
    """

    build_reference: Callable[[nn.Module, PromptTunedNetwork], Reference]
    batch: int
    repeats: int
    rounding: float


MODELS = {
    "clipseg": BenchmarkedModel(build_reference_clipseg, batch=4, repeats=5, rounding=0.02),
    "sam3": BenchmarkedModel(build_reference_sam3, batch=1, repeats=2, rounding=0.06),
}
"""By registered name."""
