"""The wheel works in an empty folder, without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from monai_tunevlseg.data.demo_datasets import write_demo_dataset

ROOT = Path(__file__).resolve().parents[1]
TRAINING = ["--epochs", "1", "--batch_size", "8", "--cache_rate", "0.0", "--prompt_depth", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The unpacked wheel; its dependencies are those of the tests."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in tracked_files("monai_tunevlseg", "configs", "bundles", "setup.*", "*.toml", "*.in", "*.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", str(made)]
    built = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made)
    return made


def tracked_files(*places):
    """List committed files, because a checkout may also hold results of runs."""
    listed = subprocess.run(["git", "ls-files", "-z", "--", *places], cwd=ROOT, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def run(site, folder, *command):
    """Run a module in a folder without files of the repository."""
    arguments = [sys.executable, "-m", *map(str, command)]
    environment = os.environ | {"PYTHONPATH": str(site)}
    finished = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


def test_wheel_holds_all_configs_and_bundles(site):
    inside = site / "monai_tunevlseg" / "resources"
    files = {path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file()}
    assert set(tracked_files("configs", "bundles")) | {"__init__.py", "LICENSE"} == files


def test_a_bundle_of_the_wheel_runs_in_an_empty_folder(site, tmp_path):
    data = write_demo_dataset("ultrasound", tmp_path / "data", num_images=10)
    work = tmp_path / "work"
    work.mkdir()
    run(site, work, "monai_tunevlseg", "init", ".", "--bundle", "clipseg_zero_shot")
    configs = "['bundles/clipseg_zero_shot/configs/inference.yaml','configs/ultrasound/clipseg_zero_shot.yaml']"
    options = ["--bundle_root", "bundles/clipseg_zero_shot", "--dataset_dir", data, "--device", "cpu"]
    run(site, work, "monai.bundle", "run", "--config_file", configs, *options)
    assert len(list((work / "bundles" / "clipseg_zero_shot" / "output" / "masks").iterdir())) == 10


def test_search_and_share_need_no_repository(site, tmp_path):
    data = write_demo_dataset("ultrasound", tmp_path / "data", num_images=24)
    search = ["search", "ultrasound/clipseg_vpt", "--dataset-dir", data, "--n-trials", "1", "--output-dir", "found"]
    run(site, tmp_path, "monai_tunevlseg", *search, "--override", "epochs=1", "--override", "batch_size=8")
    assert (tmp_path / "found" / "best" / "models" / "model.pt").is_file()
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    share = ["share", "ultrasound/clipseg_vpt", "--run-dir", "found/best", "--output", "shared", "--schema", schema]
    run(site, tmp_path, "monai_tunevlseg", *share)
    assert list((tmp_path / "shared").iterdir())
