"""Results that inference writes: the same with and without threads, and files that cannot be written."""

import filecmp

import pytest
import torch
from small_runs import raises_inside, run, workflow

from monai_tunevlseg.hyperparameters import ZERO_SHOT


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("several", [{}, {"class_names": ["square", "bright thing"], "save_probabilities": True}])
def test_threads_write_the_files_that_the_main_thread_writes(several, small, dataset_dir, tmp_path):
    outputs = {writers: tmp_path / f"by_{writers}" for writers in (0, 1, 3)}
    for writers, output in outputs.items():
        torch.manual_seed(0)  # of the contexts, which have no checkpoint here
        options = {"dataset_dir": str(dataset_dir / "images"), **ZERO_SHOT, **several}
        run("clipseg_vpt", "inference", **small | options | {"output_dir": str(output), "num_writers": writers})
    files = written(outputs[0])
    assert len(files) == 14 * (6 if several else 2) + bool(several)
    for output in (outputs[1], outputs[3]):
        assert written(output) == files
        assert filecmp.cmpfiles(outputs[0], output, files, shallow=False) == (files, [], [])


@pytest.mark.parametrize("writers", [0, 2])
@pytest.mark.parametrize("stem", ["00", "13"])
def test_a_result_that_cannot_be_written_ends_the_run_and_is_named(stem, writers, small, dataset_dir, tmp_path):
    taken = tmp_path / "output" / "overlays" / f"{stem}.png"
    taken.mkdir(parents=True)
    options = {"dataset_dir": str(dataset_dir / "images"), **ZERO_SHOT, "num_writers": writers}
    made = workflow("clipseg_vpt", "inference", **small | options)
    with raises_inside(IsADirectoryError, rf"overlays/{stem}\.png cannot be written"):
        made.run()
    assert (tmp_path / "output" / "masks" / f"{stem}.png").is_file()
