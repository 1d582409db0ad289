"""Parts of the demo; `.ci/run` runs the whole demo."""

from __future__ import annotations

import io
import shutil
import signal

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.bundle_processes import ChildProcess
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS, write_demo_dataset
from monai_tunevlseg.demo.overview_figure import draw_overview
from monai_tunevlseg.demo.run import BundleRun, copy_test_images, run_demo, run_in_parallel


@pytest.mark.parametrize("name", list(DEMO_DATASETS))
def test_overview_shows_images_ground_truth_and_both_predictions(tmp_path, name):
    data = write_demo_dataset(name, tmp_path / "data", num_images=16)
    images = copy_test_images(data, tmp_path / "new_images")
    assert len(list(images.iterdir())) == 2
    for folder in ("predictions", "predictions_zero_shot"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "masks").symlink_to(data / "masks")
    picture = read_pixels(draw_overview(tmp_path, len(DEMO_DATASETS[name].class_names)))
    height, width, _ = picture.shape
    assert width > height > 300  # two rows of four columns
    shutil.rmtree(tmp_path / "predictions_zero_shot")  # as with a network that is trained from scratch
    without = read_pixels(draw_overview(tmp_path, len(DEMO_DATASETS[name].class_names)))
    assert (count_pictures(picture), count_pictures(without)) == (4, 3)


def read_pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def count_pictures(figure: np.ndarray) -> int:
    """Count the pictures in the middle of the upper half of a figure, which white gaps separate."""
    filled = (figure[len(figure) // 4] < 255).any(axis=1).astype(int)
    return int((np.diff(filled, prepend=0) == 1).sum())


def test_failed_run_names_its_log(tmp_path):
    console = Console(file=io.StringIO())
    run = BundleRun([tmp_path / "train.yaml"], {}, tmp_path / "training.log", console)
    with pytest.raises(RuntimeError, match=rf"'training'.*{tmp_path / 'training.log'}"):
        run.wait()
    assert (tmp_path / "training.log").read_text()


def test_a_failed_run_stops_the_others(tmp_path):
    class Endless:
        def __init__(self):
            self.child = ChildProcess(["sleep", "60"], tmp_path / "log")

        def wait(self):
            raise RuntimeError("failed")  # like another run, which is waited for first

    endless = Endless()
    with pytest.raises(RuntimeError, match="failed"):
        run_in_parallel(lambda: endless)
    assert endless.child.process.returncode == -signal.SIGTERM
    other = Endless()
    with pytest.raises((OSError, ValueError)):
        run_in_parallel(lambda: other, lambda: BundleRun([], {}, tmp_path / "no" / "\0", Console(file=io.StringIO())))
    assert other.child.process.returncode == -signal.SIGTERM


def test_an_unknown_model_is_named(tmp_path):
    run = CliRunner().invoke(app, ["demo", "--model", "nope", "--output-dir", str(tmp_path)])
    assert run.exit_code == 1 and run.stderr.startswith("error: ") and "nope_vpt" in run.stderr, run.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bundle", "dataset", "error", "message"),
    [
        ("cris_vpt", "echo", FileNotFoundError, "cris_vpt.*clipseg_coop"),
        ("clipseg_vpt", "ultrasond", ValueError, "'ultrasond'.*'ultrasound'"),
    ],
)
def test_unknown_names_are_reported_before_anything_is_replaced(tmp_path, bundle, dataset, error, message):
    kept = tmp_path / "out" / "kept"
    kept.mkdir(parents=True)
    for name in ("clipseg_coop", "clipseg_vpt"):
        (tmp_path / "bundles" / name / "configs").mkdir(parents=True)
        (tmp_path / "bundles" / name / "configs" / "train.yaml").touch()
    (tmp_path / "bundles" / "clipseg_zero_shot").mkdir()
    with pytest.raises(error, match=message) as caught:
        run_demo(dataset, tmp_path / "bundles" / bundle, tmp_path / "experiment.yaml", tmp_path / "out")
    assert kept.exists() and "zero_shot" not in str(caught.value)
