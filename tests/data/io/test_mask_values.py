from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from binary_masks import read_mask
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from monai_tunevlseg.data.io.mask_values import distinct_values, to_binary_mask, to_label_map
from monai_tunevlseg.data.io.pictures import StoredMask

PATH = Path("some/mask.png")


def stored(*values, dtype=np.uint8, **facts):
    return StoredMask(np.array([values], dtype=dtype), **facts)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0,), (1,), (255,)])
def test_binary_masks(values):
    np.testing.assert_array_equal(to_binary_mask(stored(*values), PATH), [[value > 0 for value in values]])


@pytest.mark.parametrize("values", [(0, 1, 255), (0, 2), (0, 128), (0, 254, 255), (0, 5, 255)])
def test_other_values_are_named_and_read_with_a_threshold(values):
    with pytest.raises(ValueError, match=f"some/mask.png.* {values[0]}.*mask_threshold.*label_values"):
        to_binary_mask(stored(*values), PATH)
    np.testing.assert_array_equal(
        to_binary_mask(stored(*values), PATH, mask_threshold=128), [[value >= 128 for value in values]]
    )


def test_many_values_are_cut_in_the_message():
    with pytest.raises(ValueError, match="0, 1, 2, 3, 4, 5, 6, 7, 8, 9 .*246"):
        to_binary_mask(stored(*range(256)), PATH)


def test_lossy_mask_is_split_at_half_of_its_range():
    noisy = stored(0, 3, 8, 127, 128, 247, 255, lossy=True)
    np.testing.assert_array_equal(to_binary_mask(noisy, PATH), [[False, False, False, False, True, True, True]])
    assert not to_binary_mask(stored(0, 0, lossy=True), PATH).any()


def test_lossy_mask_with_foreground_1_is_refused():
    with pytest.raises(ValueError, match="mask.png.*JPEG.* 1,.* 255.*mask_threshold"):
        to_binary_mask(stored(0, 1, lossy=True), PATH)


def test_lossy_mask_with_label_values_is_refused():
    with pytest.raises(ValueError, match="mask.png.*JPEG.*PNG"):
        to_binary_mask(stored(0, 1, 2, lossy=True), PATH, label_value=1)


def test_colored_mask_needs_a_threshold_for_its_brightest_channel():
    for lossy in (False, True):
        colored = stored(0, 20, 255, colored=True, lossy=lossy)
        with pytest.raises(ValueError, match=r"mask\.png .*colors.*gray PNG"):
            to_binary_mask(colored, PATH)
        np.testing.assert_array_equal(to_binary_mask(colored, PATH, mask_threshold=128), [[False, False, True]])
    with pytest.raises(ValueError, match="mask.png.*colors"):
        to_label_map(stored(0, 255, colored=True), PATH)


@pytest.mark.parametrize(
    ("facts", "values", "bright"),
    [
        ({"white": 1}, (0, 1), 1),  # one bit
        ({"white": 65535}, (0, 32767, 32896, 65535), 32896),
        ({"white": 4095}, (0, 2047, 2056, 4095), 2056),
        ({"white": 1, "dtype": np.float32}, (0, 0.4, 0.6, 1), 0.6),
        ({"white": 255}, (0, 127, 128, 255), 128),
    ],
)
def test_threshold_applies_to_the_brightness_of_any_type(facts, values, bright):
    expected = np.array([[value >= bright for value in values]])
    np.testing.assert_array_equal(
        to_binary_mask(stored(*values, **{"dtype": np.uint16} | facts), PATH, None, 128), expected
    )


def test_white_of_any_type_is_a_clean_mask():
    for white, dtype in ((1, np.uint8), (255, np.uint8), (4095, np.uint16), (65535, np.uint16), (1, np.float32)):
        mask = stored(0, white, 0, dtype=dtype, white=white)
        np.testing.assert_array_equal(to_binary_mask(mask, PATH), [[False, True, False]])


@pytest.mark.parametrize(("highest", "white"), [(1, 255), (4, 65535), (1, 65535)])
def test_threshold_above_small_class_codes_is_refused(highest, white):
    with pytest.raises(ValueError, match=r"mask\.png .* mask_threshold 128.*label_values"):
        to_binary_mask(stored(0, highest, dtype=np.uint16, white=white), PATH, mask_threshold=128)
    assert not to_binary_mask(stored(0, 0, dtype=np.uint16, white=white), PATH, mask_threshold=128).any()


def test_type_of_unknown_range_has_no_brightness():
    for mask in (stored(0, 255, dtype=np.int32, white=None), stored(0, 7, dtype=np.float32, white=1)):
        with pytest.raises(ValueError, match=r"mask\.png.* (255|7.0).*mask_threshold.*label_values"):
            to_binary_mask(mask, PATH, mask_threshold=128)
    np.testing.assert_array_equal(to_binary_mask(stored(0, 255, dtype=np.int32, white=None), PATH), [[False, True]])


def test_shape_in_transparency_has_no_label_values():
    mask = stored(0, 255, by_alpha=True)
    np.testing.assert_array_equal(to_binary_mask(mask, PATH), [[False, True]])
    with pytest.raises(ValueError, match=r"mask\.png .*transparency"):
        to_label_map(mask, PATH)


def test_label_value_chooses_one_class():
    mask = stored(0, 1, 2, 255)
    np.testing.assert_array_equal(to_binary_mask(mask, PATH, label_value=2), [[False, False, True, False]])
    assert not to_binary_mask(mask, PATH, label_value=7).any()


def test_float_labels_must_be_integral():
    whole = stored(0, 1, 4, dtype=np.float32)
    assert to_label_map(whole, PATH).dtype.kind == "i"
    np.testing.assert_array_equal(to_label_map(whole, PATH), [[0, 1, 4]])
    for wrong in (0.5, 1.01, np.nan):
        with pytest.raises(ValueError, match=f"mask.png.* {wrong}"):
            to_label_map(stored(0, wrong, dtype=np.float32), PATH)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_beside_an_integer_are_rounded(dtype):
    slope = np.float32(1) / np.float32(255)
    mask = stored(0, 255 * slope, 0.99999997, 1.0000000591, dtype=dtype)
    expected = [[False, True, True, True]]
    np.testing.assert_array_equal(to_binary_mask(mask, PATH), expected)
    np.testing.assert_array_equal(to_binary_mask(mask, PATH, mask_threshold=1), expected)
    np.testing.assert_array_equal(to_label_map(mask, PATH), [[0, 1, 1, 1]])


def test_message_shows_the_digits_that_differ():
    with pytest.raises(ValueError, match=r"0, 1\.002, 2"):
        to_binary_mask(stored(0, 1.002, 2, dtype=np.float64), PATH)


INDICES = np.array([[0, 1], [1, 0]], np.uint8)
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (200, 0, 0)


def save_palette(path, indices, *colors):
    picture = Image.fromarray(indices)
    picture.putpalette([channel for color in colors for channel in color])
    picture.save(path)
    assert Image.open(path).mode == "P"
    return path


@pytest.mark.parametrize("colors", [(BLACK, WHITE), (BLACK, RED), (WHITE, RED), (RED, BLACK), (WHITE, RED, BLACK)])
@pytest.mark.parametrize("indices", [INDICES, INDICES * 0, INDICES * 0 + 1])
def test_index_0_of_a_palette_is_background_in_any_color(tmp_path, colors, indices):
    path = save_palette(tmp_path / "m.png", indices, *colors)
    np.testing.assert_array_equal(read_mask(path), indices > 0)
    np.testing.assert_array_equal(read_mask(path, label_value=1), indices == 1)


@pytest.mark.parametrize("indices", [INDICES, INDICES * 0])
def test_white_as_index_0_is_refused(tmp_path, indices):
    path = save_palette(tmp_path / "m.png", indices, WHITE, BLACK)
    for threshold in (None, 128):
        with pytest.raises(ValueError, match=r"m\.png.* index 0 .*label_values"):
            read_mask(path, mask_threshold=threshold)
    np.testing.assert_array_equal(read_mask(path, label_value=1), indices == 1)


def test_threshold_applies_to_the_colors_of_a_palette(tmp_path):
    path = save_palette(tmp_path / "m.png", np.array([[0, 1, 2]], np.uint8), BLACK, (90, 10, 0), (0, 200, 0))
    np.testing.assert_array_equal(read_mask(path, mask_threshold=128), [[False, False, True]])
    np.testing.assert_array_equal(read_mask(path, mask_threshold=90), [[False, True, True]])
    with pytest.raises(ValueError, match="0, 1, 2;.*mask_threshold"):
        read_mask(path)
    with pytest.raises(ValueError, match="index 0"):
        read_mask(save_palette(path, INDICES, WHITE, RED), mask_threshold=128)


@given(st.lists(st.integers(-3, 70000), min_size=1, max_size=30))
def test_distinct_values_equal_numpys_unique(values):
    array = np.array(values)
    np.testing.assert_array_equal(distinct_values(array), np.unique(array))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("coding", [{}, {"mask_threshold": 0.5}, {"label_value": 1}])
def test_values_that_are_not_finite_are_refused(value, coding):
    with pytest.raises(ValueError, match=r"some/mask\.png"):
        to_binary_mask(stored(0, 1, value, dtype=np.float32), PATH, **coding)
