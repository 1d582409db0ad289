"""Files that cannot be read: inference does the others, evaluation names all of them at once."""

import shutil

import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.engines import SupervisedEvaluator
from PIL import Image
from small_runs import raises_inside, run, workflow

from monai_tunevlseg.data import SkippingDataset
from monai_tunevlseg.data.skipping_dataset import UNREADABLE
from monai_tunevlseg.evaluation import run_or_list_unreadable
from monai_tunevlseg.hyperparameters import ZERO_SHOT


@pytest.fixture
def damaged(dataset_dir, tmp_path):
    """A copy of the dataset in which one test image is cut and both test masks are not binary."""
    folder = shutil.copytree(dataset_dir, tmp_path / "damaged")
    cut = folder / "images" / "12.png"
    cut.write_bytes(cut.read_bytes()[:100])
    for stem in ("12", "13"):
        values = np.array(Image.open(folder / "masks" / f"{stem}.png"))
        values[0, 0] = 32
        Image.fromarray(values).save(folder / "masks" / f"{stem}.png")
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_inference_leaves_out_what_it_cannot_read_and_names_it_at_the_end(workers, small, damaged, tmp_path):
    images = damaged / "images"
    (images / "00.png").write_bytes(b"")
    made = workflow(
        "clipseg_vpt",
        "inference",
        **small | {"dataset_dir": str(images), **ZERO_SHOT, "num_workers": workers},
    )
    with raises_inside(ValueError, r"^2 of 14 images(.|\n)*images/00\.png(.|\n)*images/12\.png"):
        made.run()
    written = {path.stem for path in (tmp_path / "output" / "masks").iterdir()}
    assert written == {f"{number:02}" for number in range(14)} - {"00", "12"}


def test_inference_of_readable_images_ends_well(small, dataset_dir):
    run("clipseg_vpt", "inference", **small | {"dataset_dir": str(dataset_dir / "images" / "00.png"), **ZERO_SHOT})


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_names_every_bad_file_and_measures_nothing(workers, small, damaged, tmp_path):
    made = workflow(
        "clipseg_vpt",
        "evaluate",
        **small | {"dataset_dir": str(damaged), **ZERO_SHOT, "num_workers": workers, "batch_size": 1},
    )
    with raises_inside(ValueError, r"^2 of 2 images(.|\n)*images/12\.png(.|\n)*masks/13\.png"):
        made.run()
    assert not (tmp_path / "eval" / "metrics.json").exists()


def refuse(_):
    raise ValueError("damaged")


def break_down(_):
    raise ZeroDivisionError


def test_other_errors_than_those_of_files_are_raised():
    assert SkippingDataset([1], refuse)[0] == {UNREADABLE: "damaged"}
    with pytest.raises(RuntimeError, match="applying transform"):
        SkippingDataset([1], break_down)[0]


def test_an_error_of_the_network_is_not_taken_for_a_file():
    def fail(engine, batch):
        raise ValueError("of the network")

    evaluator = SupervisedEvaluator(torch.device("cpu"), [1], torch.nn.Identity(), iteration_update=fail)
    with pytest.raises(ValueError, match="^of the network$"):
        run_or_list_unreadable(evaluator, Dataset([1], refuse))
