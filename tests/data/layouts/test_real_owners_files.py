"""Real files of public datasets through their layouts, compared with other decoders."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import cv2
import matplotlib.image
import nibabel as nib
import numpy as np
import owners_trees
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, LoadImageMaskd, build_datalists


def load_all(name, folder):
    """(sample, loaded) of every sample, by the image's stem."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the published sizes")
        datalists = build_datalists(DatasetSpec(folder, LAYOUTS[name].info.class_names, layout=name))
    samples = [sample for samples in datalists.values() for sample in samples]
    return {Path(sample["image"]).stem: (sample, LoadImageMaskd()(sample)) for sample in samples}


def colors(loaded):
    """(H, W, 3), 0..255, as loaded."""
    return np.moveaxis(loaded["image"].numpy(), 0, -1) * 255


def by_opencv(path):
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.fixture(params=[0, 1], ids=["its folder", "the folder around"])
def up(request):
    """Turns a path into the one that is given, that many levels up."""
    return lambda path: path.parents[request.param - 1] if request.param else path


def test_kvasir(realdata, up):
    root = realdata / "kvasir_seg" / "original" / "Kvasir-SEG"
    found = load_all("kvasir", up(root))
    assert len(found) == 5
    for stem, (_, loaded) in found.items():
        image, mask = (matplotlib.image.imread(root / part / f"{stem}.jpg") for part in ("images", "masks"))
        np.testing.assert_array_equal(np.rint(colors(loaded)), image)
        assert np.count_nonzero((mask > 0) & (mask < 255)) > 0, "compression left its traces"
        np.testing.assert_array_equal(loaded["label"][0].numpy(), mask.max(axis=-1) > 127)
        assert np.abs(colors(loaded) - by_opencv(root / "images" / f"{stem}.jpg")).mean() < 1


def test_clinicdb(realdata, up):
    root = realdata / "cvc_clinicdb" / "original"
    found = load_all("clinicdb", up(root))
    assert len(found) == 10
    for stem, (_, loaded) in found.items():
        np.testing.assert_array_equal(np.rint(colors(loaded)), tifffile.imread(root / "Original" / f"{stem}.tif"))
        mask = tifffile.imread(root / "Ground Truth" / f"{stem}.tif")
        np.testing.assert_array_equal(loaded["label"][0].numpy(), mask > 127)
        assert loaded["label"].any()
        assert colors(loaded)[..., 0].mean() > 1.3 * colors(loaded)[..., 2].mean(), "the gut is red"
    assert any(len(np.unique(tifffile.imread(path))) > 2 for path in (root / "Ground Truth").iterdir())


def test_bkai(realdata, up):
    root = realdata / "bkai_neopolyp" / "original"
    found = load_all("bkai", up(root))
    assert len(found) == 10
    kinds = set()
    for stem, (_, loaded) in found.items():
        image, mask = (by_opencv(root / part / part / f"{stem}.jpeg") for part in ("train", "train_gt"))
        assert np.abs(colors(loaded) - image).mean() < 1
        red, green = mask[..., 0] > 127, mask[..., 1] > 127
        kinds |= {kind for kind, shown in (("red", red), ("green", green)) if shown.any()}
        assert (loaded["label"][0].numpy() != (red | green)).mean() < 1e-4
        assert loaded["label"].any()
    assert kinds == {"red", "green"}


def test_dfu(realdata, up):
    root = realdata / "dfu_fuseg" / "original" / "validation"
    found = load_all("dfu", up(root))
    assert len(found) == 10
    for stem, (_, loaded) in found.items():
        np.testing.assert_array_equal(np.rint(colors(loaded)), by_opencv(root / "images" / f"{stem}.png"))
        mask = matplotlib.image.imread(root / "labels" / f"{stem}.png")
        np.testing.assert_array_equal(loaded["label"][0].numpy(), mask[..., 0] > 0.5)


def test_busi(realdata, up):
    root = realdata / "busi" / "original" / "Dataset_BUSI_with_GT"
    found = load_all("busi", up(root))
    assert len(found) == 17
    several = 0
    for stem, (sample, loaded) in found.items():
        kind = stem.split(" ")[0]
        assert sample["text"] == {"normal": "breast tumor"}.get(kind, f"{kind} tumor")
        np.testing.assert_array_equal(np.rint(colors(loaded)), by_opencv(root / kind / f"{stem}.png"))
        masks = [by_opencv(path).max(axis=-1) > 127 for path in sorted((root / kind).glob(f"{stem}_mask*.png"))]
        several += len(masks) > 1
        np.testing.assert_array_equal(loaded["label"][0].numpy(), np.logical_or.reduce(masks))
        assert loaded["label"].any() == (kind != "normal")
        assert all(np.count_nonzero(mask) < loaded["label"].sum() for mask in masks if len(masks) > 1)
    assert several == 3


def test_the_owners_lists_of_camus(realdata, tmp_path):
    owners_trees.full_camus(tmp_path, frames=("4CH_ES",))
    shutil.copytree(realdata / "camus_splits_only" / "original" / "database_split", tmp_path / "data/database_split")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build_datalists(DatasetSpec(tmp_path / "data", LAYOUTS["camus"].info.class_names, layout="camus"))
    assert [len(samples) for samples in found.values()] == [400 * 3, 50 * 3, 50 * 3]
    listed = (realdata / "camus_splits_only/original/database_split/subgroup_testing.txt").read_text().split()
    assert {sample["group"] for sample in found["test"]} == set(listed)


def test_a_slice_of_a_real_volume_in_the_two_forms_of_camus(realdata, tmp_path):
    source = next((realdata / "brats2015_nifti").rglob("Flair*.nii.gz"))
    image = np.asarray(nib.load(source).dataobj)[..., 80:81]
    mask = np.asarray(nib.load(source.parent / "OTMultiClass.nii.gz").dataobj)[..., 80:81]
    mask = np.where(mask == 4, 3, mask).astype(np.uint8)
    for form in ("nii.gz", "zraw"):
        for stem in ("patient0001_2CH_ED", "patient0002_2CH_ED", "patient0003_2CH_ED"):
            owners_trees.write_frame(tmp_path / form / stem[:11] / stem, image, form, False)
            owners_trees.write_frame(tmp_path / form / stem[:11] / f"{stem}_gt", mask, form, False)
    values = owners_trees.CAMUS_VALUES
    for form in ("nii.gz", "zraw"):
        found = load_all("camus", tmp_path / form)
        (sample, loaded), *_ = found.values()
        stored = sitk.GetArrayFromImage(sitk.ReadImage(sample["label"]))[0]
        np.testing.assert_array_equal(loaded["label"][0].numpy(), stored == values[sample["class_name"]])
        low, high = np.percentile(image, (0.5, 99.5))
        expected = np.clip((image[..., 0].T - low) / (high - low), 0, 1)
        for channel in loaded["image"].numpy():
            np.testing.assert_allclose(channel, expected, atol=1e-5)
