"""The main task on real files: polyps and wounds as pictures, a brain tumor as a volume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import run
from PIL import Image

from monai_tunevlseg.demo import demo_model

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "bundles" / "clipseg_vpt"
REAL_DATA = ROOT.parent / "shared" / "realdata"
QUICK = {"prompt_depth": 3, "epochs": 2, "batch_size": 4, "effective_batch_size": 4, "num_workers": 0}

pytestmark = pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"the real sample files are not at {REAL_DATA}")


def _main_job(dataset_dir: Path, new_images: Path, output: Path, class_names: list[str], **overrides) -> dict:
    """Train, evaluate and infer through the bundle; return the metrics."""
    settings = QUICK | {"pretrained": str(demo_model("clipseg")), "class_names": class_names} | overrides
    folders = {"ckpt_dir": str(output / "models"), "ckpt_path": str(output / "models" / "model.pt")}
    for config, directory in (("train", dataset_dir), ("evaluate", dataset_dir), ("inference", new_images)):
        run(
            bundle_root=str(BUNDLE),
            config_file=str(BUNDLE / "configs" / f"{config}.yaml"),
            dataset_dir=str(directory),
            output_dir=str(output / config),
            **settings,
            **folders,
        )
    return json.loads((output / "evaluate" / "metrics.json").read_text())


def _folder(target: Path, images: Path, masks: Path, most: int) -> Path:
    for source, name in ((images, "images"), (masks, "masks")):
        (target / name).mkdir(parents=True)
        for path in sorted(source.iterdir())[:most]:
            shutil.copy(path, target / name)
    return target


@pytest.mark.parametrize(
    ("images", "masks", "class_name"),
    [
        ("dfu_fuseg/original/validation/images", "dfu_fuseg/original/validation/labels", "foot ulcer"),
        ("kvasir_seg/original/Kvasir-SEG/images", "kvasir_seg/original/Kvasir-SEG/masks", "polyp"),
    ],
)
def test_pictures(tmp_path, images, masks, class_name):
    folder = _folder(tmp_path / "data", REAL_DATA / images, REAL_DATA / masks, most=5)
    metrics = _main_job(folder, folder, tmp_path / "out", [class_name])
    assert metrics["pairs"] == 1 and 0 <= metrics["dice"] <= 100
    for path in (folder / "images").iterdir():
        for kind in ("masks", "overlays"):
            written = Image.open(tmp_path / "out" / "inference" / kind / f"{path.stem}.png")
            assert written.size == Image.open(path).size
    values = np.unique(np.asarray(Image.open(tmp_path / "out" / "inference" / "masks" / f"{path.stem}.png")))
    assert set(values.tolist()) <= {0, 255}


def test_volume_slice_by_slice(tmp_path):
    source = REAL_DATA / "brats2015_nifti/original/brats2015TrainingData/test/brats_2013_pat0001_1"
    folder, classes = tmp_path / "data", ["necrosis", "edema", "non-enhancing tumor", "enhancing tumor"]
    volume = nib.load(source / "Flair_subtrMeanDivStd.nii.gz")
    truth = nib.load(source / "OTMultiClass.nii.gz")
    richest = int(np.asarray(truth.dataobj).astype(bool).sum(axis=(0, 1)).argmax())
    for kind, image in (("images", volume), ("masks", truth)):
        (folder / kind).mkdir(parents=True)
        for number in range(3):  # three slabs of one volume stand in for three patients
            slab = image.slicer[:, :, richest - 3 + 2 * number : richest - 1 + 2 * number]
            nib.save(slab, folder / kind / f"slab{number}.nii.gz")
    metrics = _main_job(folder, folder, tmp_path / "out", classes)
    assert 1 <= metrics["pairs"] <= 8
    for number in range(3):
        image = nib.load(folder / "images" / f"slab{number}.nii.gz")
        predicted = nib.load(tmp_path / "out" / "inference" / "masks" / f"slab{number}.nii.gz")
        assert predicted.shape == image.shape == (240, 240, 2)
        np.testing.assert_allclose(predicted.affine, image.affine)
        assert nib.aff2axcodes(predicted.affine) == nib.aff2axcodes(image.affine)
        assert set(np.unique(np.asarray(predicted.dataobj)).tolist()) <= set(range(5))
