from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from monai_tunevlseg.data.pictures import StoredMask
from monai_tunevlseg.data.reading import (
    SUFFIXES,
    distinct_values,
    foreground,
    labels,
    read_image,
    read_mask,
    read_shape,
    stem_of,
    suffix_of,
)

PATH = Path("some/mask.png")


def stored(*values, dtype=np.uint8, **facts):
    return StoredMask(np.array([values], dtype=dtype), **facts)


@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1), st.sampled_from(SUFFIXES))
def test_stem_and_suffix_make_the_name(stem, suffix):
    path = Path("folder") / (stem + suffix)
    assert stem_of(path) + suffix_of(path) == path.name
    if not stem.strip("."):
        return  # pathlib takes a name of dots as one without suffix
    assert (stem_of(path), suffix_of(path)) == (stem, suffix)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0,), (1,), (255,)])
def test_binary_masks(values):
    np.testing.assert_array_equal(foreground(stored(*values), PATH), [[value > 0 for value in values]])


@pytest.mark.parametrize("values", [(0, 1, 255), (0, 2), (0, 128), (0, 254, 255), (0, 5, 255)])
def test_other_values_are_refused_by_name_and_a_threshold_is_the_way_out(values):
    with pytest.raises(
        ValueError, match=f"some/mask.png is expected to be binary.* values {values[0]}.*mask_threshold"
    ):
        foreground(stored(*values), PATH)
    np.testing.assert_array_equal(
        foreground(stored(*values), PATH, mask_threshold=128), [[value >= 128 for value in values]]
    )


def test_many_values_are_cut_in_the_message():
    with pytest.raises(ValueError, match="0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 246 more"):
        foreground(stored(*range(256)), PATH)


def test_lossy_mask_is_cut_at_half_of_its_range():
    noisy = stored(0, 3, 8, 127, 128, 247, 255, lossy=True)
    np.testing.assert_array_equal(foreground(noisy, PATH), [[False, False, False, False, True, True, True]])
    assert not foreground(stored(0, 0, lossy=True), PATH).any()


def test_lossy_mask_that_codes_foreground_by_1_is_refused_instead_of_read_as_empty():
    with pytest.raises(ValueError, match="mask.png is a JPEG mask whose brightest value is 1"):
        foreground(stored(0, 1, lossy=True), PATH)


def test_lossy_mask_with_label_values_is_refused():
    with pytest.raises(ValueError, match="mask.png is a JPEG, which cannot keep label values"):
        foreground(stored(0, 1, 2, lossy=True), PATH, label_value=1)


def test_coloured_mask_is_refused():
    coloured = stored(0, 255, coloured=True)
    with pytest.raises(ValueError, match="mask.png is expected to be binary.*is in colours"):
        foreground(coloured, PATH)
    with pytest.raises(ValueError, match="mask.png codes its labels by colours"):
        labels(coloured, PATH)


def test_label_value_chooses_one_class():
    mask = stored(0, 1, 2, 255)
    np.testing.assert_array_equal(foreground(mask, PATH, label_value=2), [[False, False, True, False]])
    assert not foreground(mask, PATH, label_value=7).any()


def test_float_labels_must_be_integral():
    whole = stored(0, 1, 4, dtype=np.float32)
    assert labels(whole, PATH).dtype.kind == "i"
    np.testing.assert_array_equal(labels(whole, PATH), [[0, 1, 4]])
    for wrong in (0.5, np.nan):
        with pytest.raises(ValueError, match=f"mask.png holds the values {wrong}"):
            labels(stored(0, wrong, dtype=np.float32), PATH)


@pytest.mark.parametrize("white_first", [False, True])
def test_black_and_white_palette_counts_by_its_colours(tmp_path, white_first):
    where = np.array([[0, 1], [1, 1]], np.uint8)
    picture = Image.fromarray(1 - where if white_first else where)
    picture.putpalette([255, 255, 255, 0, 0, 0] if white_first else [0, 0, 0, 255, 255, 255])
    picture.save(tmp_path / "m.png")
    assert Image.open(tmp_path / "m.png").mode == "P"
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), where > 0)


def test_coloured_palette_counts_by_its_indices(tmp_path):
    where = np.array([[0, 1], [1, 0]], np.uint8)
    picture = Image.fromarray(where)
    picture.putpalette([0, 0, 0, 128, 0, 0])
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), where > 0)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", label_value=1), where > 0)


@given(st.lists(st.integers(-3, 70000), min_size=1, max_size=30))
def test_distinct_values_are_those_of_sorting(values):
    array = np.array(values)
    np.testing.assert_array_equal(distinct_values(array), np.unique(array))


@pytest.mark.parametrize("read", [read_image, read_mask, read_shape])
def test_unsupported_suffix_is_refused(read):
    with pytest.raises(ValueError, match=r"a\.gif has no supported suffix; supported are \.png, .*\.nii\.gz"):
        read(Path("a.gif"))


def test_picture_has_no_slices(tmp_path, save):
    path = save(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    for read in (read_image, read_mask):
        with pytest.raises(ValueError, match=r"a\.png is a picture and has no slice 0"):
            read(path, slice_index=0)


def test_nifti_is_read_as_rgb_and_as_mask(tmp_path, save):
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    path = save(tmp_path / "a.nii.gz", values)
    assert read_shape(path) == (3, 4, 5)
    assert read_image(path).shape == (3, 4, 5, 3)
    assert read_image(path, 2, 0).shape == (4, 5, 3)
    np.testing.assert_array_equal(read_mask(path, mask_threshold=30, slice_index=1, slice_axis=1), values[:, 1] >= 30)
