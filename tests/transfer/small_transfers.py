"""Small trainings and evaluations in this process, and demo datasets with a planted shift."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_tunevlseg.data.demo_datasets import write_demo_dataset

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLES = REPOSITORY / "bundles"
IN_THIS_PROCESS = {"num_workers": 0, "device": "cpu", "precision": "fp32"}


def evaluate_here(name, configs, values, folder):
    """Run an evaluation as `run_evaluation` does, without another process."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    run_here(configs, "infer", **plain | {"output_dir": str(folder)})
    return json.loads((folder / "metrics.json").read_text())


def run_here(configs, kind, **overrides):
    """Run configs of a bundle to their end."""
    made = ConfigWorkflow([*map(str, configs)], workflow_type=kind, logging_file=False, **overrides)
    made.initialize()
    made.run()
    made.finalize()


def train(folder: Path, bundle: str, data: Path, class_names: list[str], **overrides) -> Path:
    """Train a bundle on a folder of images and masks, and return the folder of the run."""
    own = {"bundle_root": str(folder), "dataset_dir": str(data), "class_names": class_names, "show_progress": False}
    run_here([BUNDLES / bundle / "configs" / "train.yaml"], "train", **IN_THIS_PROCESS | own | overrides)
    return folder


def write_shifted(folder: Path, seed: int, num_images: int = 32) -> Path:
    """Write the demo set `ultrasound` with inverted and brighter gray values and noise: lesions are bright."""
    write_demo_dataset("ultrasound", folder, seed, num_images)
    for path in sorted((folder / "images").iterdir()):
        pixels = np.asarray(Image.open(path), float)
        noise = np.random.default_rng(seed).normal(0, 10, pixels.shape)
        Image.fromarray(np.clip(265 - 0.9 * pixels + noise, 0, 255).astype(np.uint8)).save(path)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
