from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pytest
from monai.data import DataLoader, Dataset

from monai_tunevlseg.data import (
    CompletePairs,
    DatasetSpec,
    LoadImageMaskd,
    build_datalists,
    intensity_windows,
    with_intensity_windows,
)
from monai_tunevlseg.data.checks.dataset_check import check_dataset
from monai_tunevlseg.data.intensity_windows import check_intensity_window
from monai_tunevlseg.data.io import volumes
from monai_tunevlseg.data.issues import DatasetError


@pytest.fixture
def ct_folder(volume_folder, save):
    rng = np.random.default_rng(0)
    for name in "abc":
        save(volume_folder / "images" / f"{name}.nii.gz", rng.integers(-1000, 400, (6, 7, 5)).astype(np.int16))
    return volume_folder


@pytest.mark.parametrize(
    "wrong", [[1], [1, 2, 3], [2, 1], [1, 1], [0, float("nan")], [0, float("inf")], "ab", [0, "1"]]
)
def test_wrong_windows_are_refused(wrong, binary_folder):
    calls = [
        lambda: check_intensity_window(wrong),
        lambda: LoadImageMaskd(intensity_window=wrong),
        lambda: DatasetSpec(binary_folder, intensity_window=wrong),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="intensity_window is "):
            call()


def test_window_reaches_the_pixels_on_every_path(ct_folder):
    chosen = build_datalists(DatasetSpec(ct_folder, ["a", "b"], intensity_window=[-160, 240]))["train"]
    pair = {"image": chosen[0]["image"], "label": chosen[0]["label"]}
    (completed, *_) = CompletePairs(DatasetSpec(ct_folder, ["a", "b"], intensity_window=(-160, 240)))([pair])
    place = {key: value for key, value in chosen[0].items() if key != "intensity_window"}
    stored = volumes.read_volume_mask(nifti_path(pair), chosen[0]["slice"]).values
    expected = np.clip((stored + 160) / 400, 0, 1)
    assert completed["intensity_window"] == [-160, 240]
    for load, sample in (
        (LoadImageMaskd(), chosen[0]),
        (LoadImageMaskd(), completed),
        (LoadImageMaskd(intensity_window=[-160, 240]), place),
    ):
        np.testing.assert_allclose(load(sample)["image"][0].numpy(), expected, atol=1e-6)


def nifti_path(sample):
    from pathlib import Path

    return Path(sample["image"])


def test_each_volume_is_measured_once_and_not_by_loader_processes(volume_folder, monkeypatch):
    measured = []
    monkeypatch.setattr(
        intensity_windows, "intensity_range", lambda path: measured.append(path) or volumes.intensity_range(path)
    )
    samples = build_datalists(DatasetSpec(volume_folder, ["a", "b"]))["train"]
    ranged = with_intensity_windows(samples)
    assert len(measured) == 1 < len(samples)
    assert "intensity_window" not in samples[0]
    before = [LoadImageMaskd()(sample)["image"] for sample in samples]

    def refuse(path):
        raise AssertionError(f"{path} is measured again")

    monkeypatch.setattr(volumes, "intensity_range", refuse)
    loader = DataLoader(Dataset(ranged, LoadImageMaskd()), batch_size=1, num_workers=1)
    for batch, expected in zip(loader, before, strict=True):
        np.testing.assert_array_equal(batch["image"][0].numpy(), expected.numpy())


def test_pictures_and_samples_with_a_window_stay_unchanged(binary_folder):
    samples = build_datalists(DatasetSpec(binary_folder, ["polyp"]))["train"]
    assert with_intensity_windows(samples) == samples


def test_unreadable_volume_is_named(volume_folder):
    samples = build_datalists(DatasetSpec(volume_folder, ["a", "b"]))["train"]
    path = nifti_path(samples[0])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=path.name):
        with_intensity_windows(samples)


def test_ct_without_a_window_is_warned_of(ct_folder, volume_folder):
    samples = build_datalists(DatasetSpec(ct_folder, ["a", "b"]))["train"]
    with pytest.warns(UserWarning, match=r"1 .*CT .*intensity_window"):
        with_intensity_windows(samples)
    report = check_dataset(DatasetSpec(ct_folder, ["a", "b"]))
    assert [(issue.kind, len(issue.files)) for issue in report.warnings if issue.kind == "range"] == [("range", 3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_intensity_windows(
            build_datalists(DatasetSpec(ct_folder, ["a", "b"], intensity_window=[-160, 240]))["train"]
        )
    report = check_dataset(DatasetSpec(ct_folder, ["a", "b"], intensity_window=[-160, 240]))
    assert not [issue for issue in report.warnings if issue.kind == "range"]


def test_a_picture_and_a_slice_are_in_one_batch(tmp_path, save):
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(16, 12, 3)), np.eye(4)), tmp_path / "v.nii")
    nib.save(nib.Nifti1Image(np.ones((16, 12, 3), np.uint8), np.eye(4)), tmp_path / "m.nii")
    picture = save(tmp_path / "p.png", np.zeros((12, 16, 3), np.uint8))
    mask = save(tmp_path / "q.png", np.zeros((12, 16), np.uint8))
    samples = [
        {"image": str(picture), "label": str(mask), "text": "x"},
        {"image": str(tmp_path / "v.nii"), "label": str(tmp_path / "m.nii"), "text": "x", "slice": 1, "slice_axis": 2},
    ]
    (batch,) = DataLoader(Dataset(with_intensity_windows(samples), LoadImageMaskd()), batch_size=2)
    assert batch["image"].shape == (2, 3, 12, 16)
    assert batch["label"].mean() == 0.5
