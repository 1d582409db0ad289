from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_tunevlseg.data.io.decoding_errors import translate_decoding_errors
from monai_tunevlseg.data.io.pictures import (
    PICTURE_SUFFIXES,
    picture_shape,
    read_picture,
    read_picture_mask,
    read_unique_picture_values,
)


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_truncated_file_is_named(tmp_path, suffix, kept):
    path = tmp_path / f"broken{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    for read in (read_picture, read_picture_mask):
        with pytest.raises(ValueError, match=f"broken{suffix}"):
            read(path)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@settings(max_examples=60, derandomize=True, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_give_a_picture_or_a_named_error(tmp_path_factory, suffix, changes):
    path = tmp_path_factory.mktemp("damage") / f"broken{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    for position, value in changes:
        content[position] = value
    path.write_bytes(content)
    for read in (read_picture, read_picture_mask, picture_shape):
        try:
            read(path)
        except ValueError as error:
            assert f"broken{suffix}" in str(error)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate"])
def test_truncated_compressed_tiff_is_named(tmp_path, compression):
    path = tmp_path / "broken.tif"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, compression=compression)
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(ValueError, match=r"broken\.tif"):
        read_picture(path)


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_foreign_content_and_missing_file_are_named(tmp_path, suffix):
    path = tmp_path / f"foreign{suffix}"
    for read in (read_picture, read_picture_mask, picture_shape):
        path.write_bytes(b"not a picture in spite of its name")
        with pytest.raises(ValueError, match=f"foreign{suffix}"):
            read(path)
        with pytest.raises(FileNotFoundError, match=f"missing{suffix}"):
            read(tmp_path / f"missing{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".gif", ".bmp"])
def test_more_pixels_than_the_limit_are_refused_with_the_remedy(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"large{suffix}"
    Image.new("L", (7, 5)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15)
    for read in (read_picture, read_picture_mask, picture_shape, read_unique_picture_values):
        with pytest.raises(ValueError, match=rf"large\{suffix}.*\b35\b.*\b30\b.*MAX_IMAGE_PIXELS") as caught:
            read(path)
        assert "damaged" not in str(caught.value) and ".." not in str(caught.value)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert picture_shape(path) == (5, 7)


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_pipe_and_folder_are_refused_without_waiting(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    for name in ("pipe", "folder"):
        for read in (read_picture, read_picture_mask, picture_shape, read_unique_picture_values):
            with pytest.raises(ValueError, match=f"{name}{suffix}"):
                read(tmp_path / f"{name}{suffix}")


@pytest.mark.parametrize(
    "error", [MemoryError(), KeyError("codec"), ImportError("no imagecodecs"), NotImplementedError()]
)
def test_every_decoding_error_names_the_file_and_the_remedy(error):
    with (
        pytest.raises(ValueError, match=r"setup\.cfg.*(replace|If)") as caught,
        translate_decoding_errors(Path(__file__).parents[3] / "setup.cfg"),
    ):
        raise error
    assert ".." not in str(caught.value)
