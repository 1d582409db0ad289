from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from monai_tunevlseg.data import build_inference_datalist, with_intensity_windows
from monai_tunevlseg.data.intensity_windows import warn_of_dark_pictures


def write(folder, values, dtype=np.uint16, suffix=".png"):
    """Write a picture for each maximum value."""
    paths = [folder / f"{number:02}{suffix}" for number in range(len(values))]
    for path, value in zip(paths, values, strict=True):
        Image.fromarray(np.array([[0, value]], dtype)).save(path)
    return paths


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_twelve_bits_in_sixteen_are_warned_of_once_with_the_option(tmp_path, suffix, count):
    paths = write(tmp_path, [4095] * count, suffix=suffix)
    for look in (
        lambda: warn_of_dark_pictures(paths),
        lambda: build_inference_datalist(tmp_path),
        lambda: with_intensity_windows([{"image": str(path)} for path in paths]),
    ):
        with pytest.warns(UserWarning, match=r"6\.2 %.*intensity_window.*\[0, 4095\]") as caught:
            look()
        assert len(caught) == 1


def test_one_bright_picture_of_the_dataset_is_enough(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_dark_pictures(write(tmp_path, [100, 4095, 60000]))
        warn_of_dark_pictures(write(tmp_path, [3, 9], np.uint8))
        warn_of_dark_pictures(write(tmp_path, [0, 0]))
        warn_of_dark_pictures([])


def test_neither_a_given_window_nor_damage_gives_a_warning(tmp_path):
    (path,) = write(tmp_path, [4095])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_inference_datalist(tmp_path, [0, 4095])
        with_intensity_windows([{"image": str(path), "intensity_window": [0, 4095]}])
        path.write_bytes(b"damaged")
        warn_of_dark_pictures([path, tmp_path / "missing.png"])
