"""The demo: train a bundle on synthetic data, evaluate it before and after tuning, and segment new images."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monai_tunevlseg.bundle_processes import ChildProcess, bundle_command
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS, write_demo_dataset
from monai_tunevlseg.demo.overview_figure import draw_overview
from monai_tunevlseg.hyperparameters import ZERO_SHOT
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.yaml_files import read_yaml_mapping

__all__ = ["BundleRun", "DemoResult", "copy_test_images", "run_demo", "run_in_parallel"]

NUM_IMAGES = 200
NUM_NEW_IMAGES = 8  # images of the test split that inference gets, without masks


@dataclass(frozen=True)
class DemoResult:
    """Results of a demo run.

    Attributes:
        zero_shot: Dice of the base model on the test split, over all (image, text) pairs, in percent; None without a
            base model.
        tuned: Dice of the trained model, likewise.
        trained_parameters: number of trained parameters.
        checkpoint_bytes: size of the checkpoint in bytes.
        seconds: wall time of training, including validation.
    """

    zero_shot: float | None
    tuned: float
    trained_parameters: int
    checkpoint_bytes: int
    seconds: float


def run_demo(dataset: str, bundle_root: Path, experiment_config: Path, output_dir: Path) -> DemoResult:
    """Train, evaluate and infer with a bundle, in processes as a user would run them, and print a table.

    Args:
        dataset: name of a demo dataset: ``ultrasound``, ``endoscopy`` or ``echo``.
        bundle_root: folder of a bundle, such as ``bundles/clipseg_vpt``.
        experiment_config: config of the experiment, such as ``configs/ultrasound/clipseg_vpt.yaml``.
        output_dir: folder for the data, the checkpoint, predictions, logs and ``overview.png``; replaced if it exists.

    Raises:
        FileNotFoundError: when the bundle or the experiment does not exist.
        ValueError: when the dataset is unknown.
        RuntimeError: when a run of the bundle fails; names its log.
    """
    class_names = DEMO_DATASETS[dataset].class_names
    for needed in (bundle_root / "configs" / "train.yaml", experiment_config):
        if not needed.is_file():
            known = sorted(path.parents[1].name for path in bundle_root.parent.glob("*_*/configs/train.yaml"))
            raise FileNotFoundError(f"no file {needed}; bundles with training are {', '.join(known)}.")
    shutil.rmtree(output_dir, ignore_errors=True)
    console = Console(soft_wrap=True)
    data = write_demo_dataset(dataset, output_dir / "data", num_images=NUM_IMAGES)
    new_images = copy_test_images(data, output_dir / "new_images")
    checkpoint = output_dir / "models" / "model.pt"

    def run(config: str, name: str, **overrides: object) -> BundleRun:
        configs = [bundle_root / "configs" / f"{config}.yaml", experiment_config]
        own = {"bundle_root": bundle_root, "ckpt_path": checkpoint, "output_dir": output_dir / name}
        return BundleRun(configs, own | overrides, output_dir / f"{name}.log", console)

    zero_shot: float | None = None
    if "base_model" in read_yaml_mapping(bundle_root / "configs" / "train.yaml"):
        run_in_parallel(
            partial(run, "evaluate", "zero_shot", dataset_dir=data, **ZERO_SHOT),
            partial(run, "inference", "predictions_zero_shot", dataset_dir=new_images, **ZERO_SHOT),
        )
        zero_shot = _metrics(output_dir / "zero_shot")["dice"]
    (seconds,) = run_in_parallel(partial(run, "train", "training", dataset_dir=data, ckpt_dir=checkpoint.parent))
    run_in_parallel(
        partial(run, "evaluate", "tuned", dataset_dir=data),
        partial(run, "inference", "predictions", dataset_dir=new_images),
    )
    tuned = _metrics(output_dir / "tuned")
    trained_parameters = tuned["network"]["trained_parameters"]
    result = DemoResult(zero_shot, tuned["dice"], trained_parameters, checkpoint.stat().st_size, seconds)
    draw_overview(output_dir, len(class_names))
    _print_result(console, f"{dataset}, {bundle_root.name}", result, output_dir)
    return result


def run_in_parallel(*runs: Callable[[], BundleRun]) -> list[float]:
    """Start independent runs and return their wall times in seconds; an error in one of them stops all."""
    with ExitStack() as running:
        started = []
        for start in runs:
            started.append(start())
            running.callback(started[-1].child.stop)
        return [run.wait() for run in started]


def copy_test_images(data: Path, folder: Path) -> Path:
    """Copy the first test images of a dataset into a new folder, and return it."""
    folder.mkdir(parents=True)
    for stem in json.loads((data / "splits.json").read_text())["test"][:NUM_NEW_IMAGES]:
        for source in (data / "images").glob(f"{stem}.*"):
            shutil.copy(source, folder)
    return folder


class BundleRun:
    """A run of a bundle in its own process.

    Args:
        configs: config files; later ones override earlier ones.
        overrides: options of the command line.
        log: file for the output.
        console: console on which the command is shown.
    """

    def __init__(self, configs: list[Path], overrides: dict[str, object], log: Path, console: Console) -> None:
        command = bundle_command(configs, overrides)
        console.print("[dim]" + escape(shlex.join(["python", *command[1:]])) + "[/dim]", highlight=False)
        self.name = log.stem
        self.log = log
        self.started = time.perf_counter()
        self.child = ChildProcess(command, log)

    def wait(self) -> float:
        """Wait for the end of the run, and return its wall time in seconds.

        Raises:
            RuntimeError: when the run failed.
        """
        if self.child.process.wait():
            raise RuntimeError(f"the run {self.name!r} of the bundle failed; its log is {self.log}.")
        return time.perf_counter() - self.started


def _metrics(folder: Path) -> dict[str, Any]:
    return read_json_object(folder / "metrics.json")


def _print_result(console: Console, title: str, result: DemoResult, output_dir: Path) -> None:
    table = Table(title=title)
    for column in ("Dice zero-shot", "Dice tuned", "trained parameters", "checkpoint", "seconds"):
        table.add_column(column, justify="right")
    table.add_row(
        "-" if result.zero_shot is None else f"{result.zero_shot:.1f} %",
        f"{result.tuned:.1f} %",
        f"{result.trained_parameters:,}",
        f"{result.checkpoint_bytes / 1000:.1f} kB",
        f"{result.seconds:.0f}",
    )
    console.print(table)
    console.print(f"overlays: {output_dir / 'predictions' / 'overlays'}")
    console.print(f"overview: {output_dir / 'overview.png'}")
