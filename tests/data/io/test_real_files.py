"""Original files of public datasets, compared with other decoders."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest
import tifffile
import torch
from binary_masks import read_mask
from monai.data import MetaTensor
from PIL import Image

from monai_tunevlseg.data import DatasetSpec, LoadImageMaskd, SavePredictiond, build_datalists, build_inference_datalist
from monai_tunevlseg.data.io.reading import read_image, read_shape


def by_opencv(path: Path) -> np.ndarray:
    """Decode to (H, W, 3) RGB, 8 bits."""
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def link_folder(target: Path, images: list[Path], masks: list[Path]) -> Path:
    """Copy files under the stems of their images into `images/` and `masks/`."""
    for image, mask in zip(images, masks, strict=True):
        for folder, source in (("images", image), ("masks", mask)):
            (target / folder).mkdir(exist_ok=True)
            (target / folder / (image.name.split(".")[0] + "".join(source.suffixes))).symlink_to(source)
    return target


def load_all(datalists):
    return [LoadImageMaskd()(sample) for samples in datalists.values() for sample in samples]


@pytest.fixture
def clinicdb(realdata):
    return realdata / "cvc_clinicdb" / "original"


@pytest.fixture
def brats(realdata):
    return next((realdata / "brats2015_nifti").rglob("Flair*.nii.gz"))


def test_clinicdb_colors(clinicdb):
    for path in sorted((clinicdb / "Original").glob("*.tif")):
        image = read_image(path)
        np.testing.assert_array_equal(np.rint(image * 255), tifffile.imread(path))
        # the pixels are one uncompressed block: the bytes themselves are a third opinion
        with tifffile.TiffFile(path) as tiff:
            start = tiff.pages[0].dataoffsets[0]
        raw = np.frombuffer(path.read_bytes(), np.uint8, 288 * 384 * 3, start).reshape(288, 384, 3)
        np.testing.assert_array_equal(np.rint(image * 255), raw)
        assert np.abs(image[..., 0] - image[..., 2]).mean() > 0.1, "a reddish frame, not a gray one"
        assert read_shape(path) == (288, 384)


def test_other_decoders_refuse_clinicdb_or_read_it_as_gray(clinicdb):
    path = clinicdb / "Original" / "9.tif"
    gray = by_opencv(path)
    assert (gray[..., 0] == gray[..., 2]).all()
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(path)


def test_gray_edges_of_clinicdb_need_a_threshold(clinicdb, tmp_path):
    path = clinicdb / "Ground Truth" / "261.tif"
    with pytest.raises(ValueError, match=r"261\.tif.* 0, 9, 11, .*mask_threshold"):
        read_mask(path)
    images = sorted((clinicdb / "Original").glob("*.tif"))
    masks = [clinicdb / "Ground Truth" / image.name for image in images]
    folder = link_folder(tmp_path, images, masks)
    for sample in load_all(build_datalists(DatasetSpec(folder, ["polyp"], mask_threshold=128))):
        mask = tifffile.imread(clinicdb / "Ground Truth" / Path(sample["label"].meta["filename_or_obj"]).name)
        np.testing.assert_array_equal(sample["label"][0].numpy(), mask > 127)


def test_kvasir(realdata):
    folder = realdata / "kvasir_seg" / "original" / "Kvasir-SEG"
    samples = load_all(build_datalists(DatasetSpec(folder, ["polyp"])))
    assert len(samples) == 5
    for sample in samples:
        path = Path(sample["image"].meta["filename_or_obj"])
        decoded = np.moveaxis(by_opencv(path), -1, 0).astype(np.float32)
        assert np.abs(sample["image"].numpy() * 255 - decoded).mean() < 1
        mask = by_opencv(folder / "masks" / path.name)
        assert len(np.unique(mask)) > 2, "a lossy mask"
        assert (sample["label"][0].numpy() != (mask[..., 0] > 127)).mean() < 1e-4
        assert 0.05 < sample["label"].mean() < 0.4


def test_dfu_rgb_masks(realdata, tmp_path):
    folder = realdata / "dfu_fuseg" / "original" / "validation"
    (tmp_path / "images").symlink_to(folder / "images")
    (tmp_path / "masks").symlink_to(folder / "labels")
    samples = load_all(build_datalists(DatasetSpec(tmp_path, ["foot ulcer"])))
    assert len(samples) == 10
    for sample in samples:
        name = Path(sample["image"].meta["filename_or_obj"]).name
        np.testing.assert_array_equal(sample["label"][0].numpy(), by_opencv(folder / "labels" / name)[..., 1] == 255)
        np.testing.assert_array_equal(
            np.rint(sample["image"].numpy() * 255), np.moveaxis(by_opencv(folder / "images" / name), -1, 0)
        )
    assert 0 < np.median([sample["label"].mean().item() for sample in samples]) < 0.05


def test_busi_masks_of_three_modes(realdata):
    paths = sorted((realdata / "busi").rglob("*_mask*.png"))
    assert {Image.open(path).mode for path in paths} == {"1", "RGB", "RGBA"}
    for path in paths:
        mask = read_mask(path)
        np.testing.assert_array_equal(mask, by_opencv(path)[..., 0] > 127)
        assert mask.any() == (path.parent.name != "normal")
        np.testing.assert_array_equal(read_mask(path, mask_threshold=128), mask)


def test_bkai_red_and_green_lesions_both_count(realdata):
    for path in sorted((realdata / "bkai_neopolyp" / "original" / "train_gt").rglob("*.jpeg")):
        expected = (by_opencv(path) > 127).any(axis=-1)
        found = read_mask(path, mask_threshold=128)
        assert found.any()
        assert (found != expected).mean() < 1e-4


def test_bkai_colors_need_a_threshold(realdata):
    path = next((realdata / "bkai_neopolyp" / "original" / "train_gt").rglob("*.jpeg"))
    with pytest.raises(ValueError, match=r"\.jpeg .*colors.*mask_threshold"):
        read_mask(path)


def test_voc_palette_masks_give_class_indices(realdata):
    folder = realdata / "voc_labelme" / "original" / "data_dataset_voc" / "SegmentationClass"
    path = folder / "2011_000003.png"
    indices = np.asarray(Image.open(path))
    for value in (5, 15):
        np.testing.assert_array_equal(read_mask(path, label_value=value), indices == value)
    assert not read_mask(path, label_value=7).any()


def test_brats_slices_and_labels(brats, tmp_path):
    folder = tmp_path / "data"
    labels = brats.parent / "OTMultiClass.nii.gz"
    image, label = nib.load(brats), nib.load(labels)
    for stem, part in {"a": slice(60, 75), "b": slice(75, 90), "c": slice(90, 105)}.items():
        for name, source in (("images", image), ("masks", label)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            nib.save(source.slicer[:, :, part], folder / name / f"{stem}.nii.gz")
    names = ["necrosis", "edema", "non-enhancing tumor", "enhancing tumor"]
    datalists = build_datalists(DatasetSpec(folder, names))
    sample = datalists["train"][0]
    stored = np.asarray(nib.load(sample["label"]).dataobj)
    loaded = LoadImageMaskd()(sample)
    np.testing.assert_array_equal(
        loaded["label"][0].numpy(), sample["label_value"] == stored[..., 14 - sample["slice"]].T
    )
    count = sum(len(np.unique(stored[..., index])) - 1 for index in range(15))
    assert len(datalists["train"]) == count
    united = build_datalists(DatasetSpec(folder, ["tumor"], mask_threshold=1))
    index = united["train"][0]["slice"]
    np.testing.assert_array_equal(
        LoadImageMaskd()(united["train"][0])["label"][0].numpy(), stored[..., 14 - index].T > 0
    )


def test_brats_volume_comes_back_on_its_grid(brats, tmp_path):
    (sample,) = build_inference_datalist(brats)
    data = LoadImageMaskd(with_label=False)(sample)
    assert data["image"].shape == (3, 155, 240, 240)
    assert data["image"].min() >= 0 and data["image"].max() <= 1
    truth = np.asarray(nib.load(brats.parent / "OTMultiClass.nii.gz").dataobj).astype(np.uint8)
    read = np.ascontiguousarray(truth.transpose(2, 1, 0)[::-1])
    SavePredictiond("pred", tmp_path, num_classes=4)(data | {"pred": MetaTensor(torch.from_numpy(read[None]))})
    saved, source = nib.load(tmp_path / "masks" / brats.name), nib.load(brats)
    np.testing.assert_array_equal(saved.affine, source.affine)
    assert nib.aff2axcodes(saved.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(np.asarray(saved.dataobj), truth)
    overlay = np.asarray(Image.open(tmp_path / "overlays" / "Flair_subtrMeanDivStd.png"))
    assert overlay.shape == (240, 240, 3)


def test_mixed_real_folder_goes_through_splits_and_back(realdata, tmp_path):
    source = realdata / "kvasir_seg" / "original" / "Kvasir-SEG"
    for folder in ("images", "masks"):
        shutil.copytree(source / folder, tmp_path / "data" / folder)
    stems = sorted(path.stem for path in (source / "images").iterdir())
    (tmp_path / "data" / "splits.json").write_text(
        json.dumps({"train": stems[:3], "val": stems[3:4], "test": stems[4:]})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datalists = build_datalists(DatasetSpec(tmp_path / "data", ["polyp"]))
    (sample,) = load_all({"test": datalists["test"]})
    SavePredictiond("pred", tmp_path / "out")(sample | {"pred": sample["label"]})
    written = tmp_path / "out" / "masks" / f"{stems[4]}.png"
    np.testing.assert_array_equal(read_mask(written), sample["label"][0].numpy() > 0)
