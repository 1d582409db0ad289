"""How long a bundle's run takes until its first step begins."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from monai_tunevlseg.data.demo import write_demo_dataset

__all__ = ["seconds_to_first_step"]

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "clipseg_vpt"
STOP_AT_FIRST_STEP = (
    "$@train#trainer.add_event_handler('iteration_started', lambda engine: __import__('os')._exit(0))",
    "$@train#trainer.run()",
)
"""In place of the config's own ``run``: leave as soon as the first batch is there."""


def seconds_to_first_step(base: Path, starts: int = 2) -> float:
    """Start the same training run so often, and return the seconds that the last start took.

    Args:
        base: folder of the base model.
        starts: how often; the first one finds the files of libraries and model on the disk, the next in memory.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = write_demo_dataset("ultrasound", folder / "data", num_images=40)
        overrides = {"bundle_root": folder / "run", "dataset_dir": dataset or folder / "data", "pretrained": base}
        options = [part for key, value in overrides.items() for part in (f"--{key}", str(value))]
        config = ["--config_file", str(BUNDLE / "configs" / "train.yaml"), "--run", repr(list(STOP_AT_FIRST_STEP))]
        command = [sys.executable, "-m", "monai.bundle", "run", *config, *options]
        for _ in range(starts):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - start
    return seconds
