from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from monai_tunevlseg.data import ResizeImageMaskd
from monai_tunevlseg.data.transforms.resizing import resize_images


def edges(height, width, seed=0):
    """Black and white, (H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 2, (height, width, 3), dtype=np.uint8) * 255


def resized(picture, size, antialias):
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    return resize_images(tensor, size, antialias)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(31, 47), (90, 80)])
def test_without_antialias_it_resizes_like_the_reference_recipe(size):
    picture = edges(64, 50)
    expected = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_CUBIC) / 255
    np.testing.assert_allclose(resized(picture, size, False), expected, atol=1 / 255 + 1e-6)


def test_with_antialias_it_resizes_like_pillow():
    picture = edges(120, 200)
    expected = np.asarray(Image.fromarray(picture).resize((40, 30), Image.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(
        resized(picture, (30, 40), True), expected, atol=6 / 255
    )  # Pillow rounds to 8 bits between its two passes


def test_noise_of_a_large_picture_is_averaged_and_not_sampled():
    noise = np.random.default_rng(0).integers(0, 256, (704, 704, 3), dtype=np.uint8)
    assert resized(noise, (88, 88), True).std() < 0.06 < 0.2 < resized(noise, (88, 88), False).std()


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(20, 30), (100, 30), (100, 130)])
def test_values_stay_in_0_1_and_antialias_acts_only_on_shrinking(antialias, size):
    result = resized(edges(64, 50), size, antialias)
    assert result.min() >= 0 and result.max() <= 1
    if min(size) >= 64:
        np.testing.assert_array_equal(result, resized(edges(64, 50), size, False))
    np.testing.assert_array_equal(resized(edges(20, 30), (20, 30), antialias), edges(20, 30) / np.float32(255))


@pytest.mark.parametrize("labels", [1, 3])
def test_masks_are_resized_by_nearest_neighbors_and_meta_stays(labels):
    image = MetaTensor(torch.rand(3, 64, 50), meta={"filename_or_obj": "a.png"})
    label = (torch.rand(labels, 64, 50) > 0.5).to(torch.uint8) * 255
    sample = ResizeImageMaskd((32, 25), antialias=True)({"image": image, "label": label, "text": "polyp"})
    assert sample["image"].meta["filename_or_obj"] == "a.png"
    assert sample["image"].shape == (3, 32, 25)
    expected = torch.nn.functional.interpolate(label[None].float(), size=(32, 25), mode="nearest-exact")[0]
    assert torch.equal(sample["label"], expected)
    assert sample["text"] == "polyp"


def test_size_must_be_positive():
    with pytest.raises(ValueError, match="spatial_size is 0"):
        ResizeImageMaskd(0, antialias=True)
