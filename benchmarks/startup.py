"""Time from the start of a training run to its first step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from monai_tunevlseg.data.demo_datasets import write_demo_dataset

__all__ = ["seconds_to_first_step"]

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "clipseg_vpt"
STOP_AT_FIRST_STEP = (
    "$@train#trainer.add_event_handler(monai.engines.workflow.Events.ITERATION_STARTED, lambda _: logging.os._exit(0))",
    "$@train#trainer.run()",
)
"""Replaces ``run`` of the config: exit at the start of the first iteration."""


def seconds_to_first_step(base: Path, starts: int = 2, prompt_depth: int = 9) -> float:
    """Start the same training run ``starts`` times, and return the seconds of the last start.

    Args:
        base: folder of the base model.
        starts: number of starts; the first reads libraries and model from disk, the next ones from the page cache.
        prompt_depth: prompt depth of VPT.

    Raises:
        RuntimeError: when the run ends before its first step.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = write_demo_dataset("ultrasound", folder / "data", num_images=40)
        overrides = {"bundle_root": folder / "run", "dataset_dir": dataset, "pretrained": base}
        overrides |= {"prompt_depth": prompt_depth}
        options = [part for key, value in overrides.items() for part in (f"--{key}", str(value))]
        config = ["--config_file", str(BUNDLE / "configs" / "train.yaml"), "--run", repr(list(STOP_AT_FIRST_STEP))]
        command = [sys.executable, "-m", "monai.bundle", "run", *config, *options]
        return [seconds_until_exit(command, folder / "log") for _ in range(starts)][-1]


def seconds_until_exit(command: list[str], log: Path) -> float:
    """Measure a process until it exits, and kill the data loader workers that it leaves."""
    start = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        code = process.wait()
    seconds = time.perf_counter() - start
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if code:
        raise RuntimeError(f"the run exited with {code} before its first step: {log.read_text()[-2000:]}")
    return seconds
