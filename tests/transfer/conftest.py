"""Datasets with a planted shift, and runs that were trained on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_transfers import BUNDLES, train, write_shifted

from monai_tunevlseg.data.demo_datasets import write_demo_dataset
from monai_tunevlseg.transfer import SourceRun, Target, read_source_run, read_target


@pytest.fixture(scope="session")
def domains(tmp_path_factory) -> dict[str, Path]:
    """Two datasets of ultrasound scenes: lesions are dark in one and bright in the other."""
    root = tmp_path_factory.mktemp("domains")
    return {
        "dark": write_demo_dataset("ultrasound", root / "dark", seed=1, num_images=32),
        "bright": write_shifted(root / "bright", seed=2),
    }


@pytest.fixture(scope="session")
def unet_runs(domains, tmp_path_factory) -> dict[str, Path]:
    """A small U-Net that was trained on each of them."""
    root = tmp_path_factory.mktemp("unet_runs")
    small = {"architecture": "dynunet", "channels": [8, 16, 32], "image_size": 48, "learning_rate": 5e-3}
    small |= {"epochs": 15, "batch_size": 8, "effective_batch_size": 8, "cache_rate": 1.0, "val_interval": 5}
    return {name: train(root / name, "unet_scratch", folder, ["lesion"], **small) for name, folder in domains.items()}


@pytest.fixture(scope="session")
def clipseg_run(domains, tiny_clipseg_dir, tmp_path_factory) -> Path:
    """A tiny CLIPSeg with VPT after one epoch, with its calibration."""
    small = {"pretrained": str(tiny_clipseg_dir), "prompt_depth": 2, "epochs": 1, "batch_size": 8}
    return train(tmp_path_factory.mktemp("clipseg_run"), "clipseg_vpt", domains["dark"], ["lesion"], **small)


@pytest.fixture
def source(clipseg_run) -> SourceRun:
    """The tiny CLIPSeg."""
    return read_source_run(clipseg_run, BUNDLES)


@pytest.fixture
def bright(domains) -> Target:
    """The dataset with bright lesions as a target."""
    return read_target("bright", domains["bright"], {"layout": "folder"})
