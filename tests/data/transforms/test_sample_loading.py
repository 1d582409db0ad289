from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, Invertd, Resized

from monai_tunevlseg.data import DatasetSpec, LoadImageMaskd, LogitsToLabelMapd, build_datalists


def test_picture_with_mask(binary_folder):
    sample = {"image": str(binary_folder / "images" / "case3.png"), "label": str(binary_folder / "masks" / "case3.png")}
    loaded = LoadImageMaskd()({**sample, "text": "polyp", "extra": 7})
    assert (loaded["text"], loaded["extra"]) == ("polyp", 7)
    for key, channels in (("image", 3), ("label", 1)):
        assert isinstance(loaded[key], MetaTensor)
        assert loaded[key].shape == (channels, 12, 16)
        assert loaded[key].dtype == torch.float32
        assert loaded[key].meta["filename_or_obj"] == sample[key]
        assert loaded[key].meta["spatial_shape"].tolist() == [12, 16]
        assert torch.equal(loaded[key].affine, torch.eye(4, dtype=torch.float64))
    assert loaded["label"].sum() == 3 * 6
    assert loaded["label"].unique().tolist() == [0, 1]
    assert 0.9 < loaded["image"].max() <= 1


def test_slice_and_whole_volume(volume_folder):
    paths = {"image": str(volume_folder / "images" / "a.nii.gz"), "label": str(volume_folder / "masks" / "a.nii.gz")}
    whole = LoadImageMaskd(with_label=False)({"image": paths["image"]})["image"]
    assert whole.shape == (3, 5, 7, 6)
    loaded = LoadImageMaskd()({**paths, "label_value": 1, "slice": 2, "slice_axis": 1})
    assert torch.equal(loaded["image"], whole[:, :, 2])
    assert loaded["label"].shape == (1, 5, 6)
    assert loaded["label"].sum() == 4
    assert torch.equal(LoadImageMaskd(slice_axis=0)({**paths, "label_value": 1, "slice": 2})["image"], whole[..., 2])
    assert loaded["image"].pixdim.tolist() == pytest.approx([2.5, 0.7])


def test_without_label_a_label_passes_through(binary_folder):
    image = str(binary_folder / "images" / "case3.png")
    assert LoadImageMaskd(with_label=False)({"image": image, "label": "any.png"})["label"] == "any.png"


def test_missing_label_is_named(binary_folder):
    with pytest.raises(KeyError, match="label"):
        LoadImageMaskd()({"image": str(binary_folder / "images" / "case3.png")})


def test_mask_of_another_size_is_named(binary_folder, save):
    mask = save(binary_folder / "masks" / "case3.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(ValueError, match=r"case3\.png.*\(5, 5\).*images.case3\.png.*\(12, 16\)"):
        LoadImageMaskd()({"image": str(binary_folder / "images" / "case3.png"), "label": str(mask)})


def test_wrong_mask_is_named_through_the_loader(binary_folder, save):
    save(binary_folder / "masks" / "case3.png", np.full((12, 16), 9, np.uint8))
    datalist = sum(build_datalists(DatasetSpec(binary_folder, ["polyp"])).values(), [])
    with pytest.raises(RuntimeError) as caught:
        list(DataLoader(Dataset(datalist, LoadImageMaskd()), batch_size=2))
    assert "case3.png" in str(caught.value.__cause__)


def test_batches_of_any_size_collate_and_are_inverted(tmp_path, save):
    for number, size in enumerate([(8, 16), (16, 32), (32, 8)]):
        mask = np.zeros(size, np.uint8)
        mask[2:5, 3:6] = 1
        save(tmp_path / "images" / f"{number}.png", np.zeros(size, np.uint8))
        save(tmp_path / "masks" / f"{number}.png", mask)
    datalist = sum(build_datalists(DatasetSpec(tmp_path, ["polyp"])).values(), [])
    transform = Compose([LoadImageMaskd(), Resized(("image", "label"), (32, 32), mode=("bicubic", "nearest-exact"))])
    batch = next(iter(DataLoader(Dataset(datalist, transform), batch_size=3)))
    assert batch["image"].shape == (3, 3, 32, 32)
    assert batch["text"] == ["polyp"] * 3
    assert len(batch["image"].meta["filename_or_obj"]) == 3
    batch["pred"] = batch["label"] * 2 - 1
    after = Compose([Invertd("pred", transform, orig_keys="image", nearest_interp=True), LogitsToLabelMapd("pred")])
    for item in map(after, decollate_batch(batch)):
        own = LoadImageMaskd()(
            {"image": item["image"].meta["filename_or_obj"], "label": item["label"].meta["filename_or_obj"]}
        )
        assert item["pred"].shape == own["label"].shape
        assert torch.equal(item["pred"], own["label"])
