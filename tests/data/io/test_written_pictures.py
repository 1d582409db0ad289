"""The same pixels are read from pictures and masks of any writer and format."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import SimpleITK
import tifffile
from binary_masks import read_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_tunevlseg.data.io.pictures import picture_shape, read_picture, read_picture_mask, read_unique_picture_values

COMPRESSIONS = [None, "zlib", "lzw", "packbits", "zstd", "lzma"]
FORMATS = {  # suffix and arguments of the writer
    "pillow": [(".png", {}), (".bmp", {}), (".gif", {}), (".tif", {"compression": "tiff_lzw"}), (".tif", {})],
    "opencv": [(".png", {}), (".bmp", {}), (".tif", {})],
    "tifffile": [(".tif", {"compression": name}) for name in COMPRESSIONS],
    "itk": [(".png", {}), (".tif", {}), (".bmp", {})],
}
WRITERS = [(writer, suffix, options) for writer, forms in FORMATS.items() for suffix, options in forms]


def write(writer, path, pixels, options):
    if writer == "pillow":
        Image.fromarray(pixels).save(path, **options)
    elif writer == "opencv":
        stored = pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels
        assert cv2.imwrite(str(path), stored[..., ::-1] if stored.ndim == 3 else stored)
    elif writer == "tifffile":
        tifffile.imwrite(path, pixels, photometric="minisblack" if pixels.ndim == 2 else "rgb", **options)
    else:
        stored = pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(stored, isVector=stored.ndim == 3), str(path))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.sampled_from(WRITERS),
    st.sampled_from([(bool, 2), (np.uint8, 2), (np.uint8, 3), (np.uint16, 2), (np.uint16, 3)]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 2**32 - 1),
)
def test_pixels_are_the_same_from_any_writer(tmp_path_factory, form, kind, size, seed):
    writer, suffix, options = form
    dtype, dimensions = kind
    deep_color = dtype == np.uint16 and dimensions == 3
    if dtype == np.uint16 and suffix in (".bmp", ".gif") or deep_color and writer == "pillow":
        return  # these formats or writers do not support it
    if dimensions == 3 and suffix == ".gif":
        return  # quantized
    shape = (*size, 3)[:dimensions]
    highest = 1 if dtype is bool else np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(0, highest, shape, endpoint=True).astype(dtype)
    path = tmp_path_factory.mktemp("written") / f"a{suffix}"
    write(writer, path, pixels, options)
    expected = pixels / highest if dimensions == 3 else np.stack([pixels / highest] * 3, axis=-1)
    np.testing.assert_allclose(read_picture(path), expected, atol=1e-6)
    assert picture_shape(path) == size
    mask = write_mask(writer, path, expected, dtype, options)
    if suffix == ".gif" and dtype == np.uint8 and mask.all():  # Pillow keeps one color, white, as index 0
        with pytest.raises(ValueError, match=r"a\.gif .* index 0"):
            read_mask(path)
        return
    for threshold in (None, 128):
        np.testing.assert_array_equal(read_mask(path, mask_threshold=threshold), mask)
    shape, row = read_unique_picture_values(path)
    assert shape == size
    np.testing.assert_array_equal(row.values[0], np.unique(read_picture_mask(path).values))


def write_mask(writer, path, picture, dtype, options):
    """Overwrite a picture by black and white of the same type, and return its white pixels."""
    mask = picture[..., 0] >= 0.5
    highest = 1 if dtype is bool else np.iinfo(dtype).max
    write(writer, path, (mask * highest).astype(dtype), options)
    return mask
