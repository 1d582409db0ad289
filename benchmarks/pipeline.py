"""Inference of a bundle from images on disk to masks and overlays on disk, and its network alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS
from monai_tunevlseg.segmenter import open_bundle

__all__ = ["pipeline_workloads", "write_photographs"]

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "clipseg_vpt"
SIDE = 512
"""Height and width of the images in pixels."""
NOISE = 2
"""Standard deviation of the images' noise, of 255, with which their PNG files are as large as those of photographs."""


def write_photographs(folder: Path, count: int) -> None:
    """Write PNG images, drawn as those of the demo dataset of endoscopy."""
    folder.mkdir(parents=True)
    for number in range(count):
        random = np.random.default_rng(number)
        drawn, _ = DEMO_DATASETS["endoscopy"].draw(random)
        smooth = Image.fromarray(np.uint8(drawn.clip(0, 1) * 255)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) + random.normal(0, NOISE, (SIDE, SIDE, 3))
        Image.fromarray(np.uint8(noisy.clip(0, 255))).save(folder / f"{number}.png")


def pipeline_workloads(
    base: Path, folder: Path, count: int, depth: int, precision: str, device: torch.device
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return two workloads on the same number of images: the network alone, in batches, and ``inference.yaml``.

    The masks of random weights are noise, which takes longer to write than those of a trained network.

    Args:
        base: folder of CLIPSeg.
        folder: new folder for the images and the results.
        count: number of images.
        depth: prompt depth of VPT.
        precision: precision of the network.
        device: device of the network.
    """
    write_photographs(folder / "images", count)
    files = {"pretrained": str(base), "dataset_dir": str(folder / "images"), "output_dir": str(folder / "output")}
    options = {"prompt_depth": depth, "precision": precision, "device": f"$torch.device('{device}')"}
    config = open_bundle(BUNDLE, **files, **options, zero_shot=True)  # no checkpoint
    evaluator = config.get_parsed_content("evaluator")
    network, size = evaluator.network.eval(), config.get_parsed_content("image_size")
    batches = torch.rand(count, 3, size, size).split(config.get_parsed_content("batch_size"))

    def segment() -> None:
        with torch.no_grad(), torch.autocast(device.type, torch.float16, enabled=evaluator.amp):
            for batch in batches:
                network(batch.to(device))

    return segment, evaluator.run
