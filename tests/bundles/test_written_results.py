"""Results that inference writes: the same with and without threads, and files that cannot be written."""

import filecmp
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import raises_inside, run, workflow, write_pictures

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


def test_images_of_different_sizes_run_in_batches_as_one_by_one(small, tmp_path):
    folder = write_pictures(tmp_path / "data", count=5) / "images"
    random = np.random.default_rng(0)
    for number, size in ((1, (40, 31)), (3, (64, 64))):
        Image.fromarray(random.integers(0, 255, (*size, 3)).astype(np.uint8)).save(folder / f"{number:02}.png")
    (folder / "02.png").write_bytes(b"damaged")
    nib.save(nib.Nifti1Image(random.random((20, 24, 3), np.float32), np.eye(4)), folder / "05.nii.gz")
    for size in (1, 4):
        torch.manual_seed(0)  # of the contexts, which have no checkpoint here
        options = {"dataset_dir": str(folder), **ZERO_SHOT, "batch_size": size, "sw_batch_size": 2}
        made = workflow("clipseg_vpt", "inference", **small | options, output_dir=str(tmp_path / f"by_{size}"))
        seen = []
        network = made.parser.get_parsed_content("network")
        network.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(len(inputs[0])))
        with raises_inside(ValueError, r"^1 of 6 images(.|\n)*02\.png"):
            made.run()
        assert seen == ([1, 1, 1, 1] if size == 1 else [3, 1]) + [2, 1]  # then the volume
    files = written(tmp_path / "by_1")
    assert len(files) == 10
    assert written(tmp_path / "by_4") == files
    for path in map(Path, files):
        one, several = (pixels(tmp_path / f"by_{size}" / path) for size in (1, 4))
        assert one.shape == several.shape
        assert (one != several).mean() < 0.01  # logits differ by rounding


def pixels(path):
    return nib.load(path).get_fdata() if path.name.endswith(".nii.gz") else np.asarray(Image.open(path))


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
