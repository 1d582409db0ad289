from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_tunevlseg.data.pictures import PICTURE_SUFFIXES, picture_shape, read_picture, read_picture_mask

COLOURS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]
DEEP = np.random.default_rng(1).integers(0, 65536, (5, 7), dtype=np.uint16)


def as_rgb(grey):
    return np.stack([grey] * 3, axis=-1)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("RGB", COLOURS / 255),
        ("RGBA", COLOURS / 255),
        ("L", as_rgb(GREY) / 255),
        ("LA", as_rgb(GREY) / 255),
        ("1", as_rgb(GREY > 127)),
    ],
)
def test_every_mode_becomes_rgb_in_0_1(tmp_path, mode, expected):
    source = Image.fromarray(COLOURS if "RGB" in mode else GREY)
    picture = source.point(lambda value: 255 * (value > 127), "1") if mode == "1" else source.convert(mode)
    picture.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == mode
    image = read_picture(tmp_path / "a.png")
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_alpha_is_dropped_and_not_blended(tmp_path):
    transparent = np.dstack([COLOURS, np.zeros((5, 7), np.uint8)])
    Image.fromarray(transparent).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), COLOURS / 255, atol=1e-6)


def test_16_bits_keep_their_depth(tmp_path):
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "I;16"
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), as_rgb(DEEP) / 65535, atol=1e-7)


def test_palette_becomes_its_colours_as_picture_and_indices_as_mask(tmp_path):
    picture = Image.fromarray(GREY % 3).convert("L")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "P"
    np.testing.assert_allclose(
        read_picture(tmp_path / "a.png"),
        np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])[GREY % 3] / 255,
        atol=1e-6,
    )
    mask = read_picture_mask(tmp_path / "a.png")
    np.testing.assert_array_equal(mask.values, GREY % 3)
    assert mask.palette is not None
    np.testing.assert_array_equal(mask.palette[1], [40, 50, 60])


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_every_suffix_reads_and_measures(tmp_path, suffix):
    path = tmp_path / f"a{suffix.upper()}"
    smooth = np.full((5, 7, 3), (200, 100, 50), np.uint8)
    Image.fromarray(smooth).save(path)
    np.testing.assert_allclose(read_picture(path), smooth / 255, atol=0.02)
    assert picture_shape(path) == (5, 7)


def test_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    assert Image.open(tmp_path / "a.png").getexif()[274] == 6
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), COLOURS / 255, atol=1e-6)
    assert picture_shape(tmp_path / "a.png") == (5, 7)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_tiff_that_claims_to_be_grey_is_read_in_colours(tmp_path, compression, planar):
    stored = COLOURS if planar == "contig" else np.moveaxis(COLOURS, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="minisblack",
        planarconfig=planar,
        compression=compression,
        metadata=None,
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert (int(tiff.pages[0].photometric), tiff.pages[0].samplesperpixel) == (1, 3)
    np.testing.assert_allclose(read_picture(tmp_path / "a.tif"), COLOURS / 255, atol=1e-6)
    assert picture_shape(tmp_path / "a.tif") == (5, 7)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate"])
def test_compressed_tiff(tmp_path, compression):
    Image.fromarray(COLOURS).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_allclose(read_picture(tmp_path / "a.tif"), COLOURS / 255, atol=1e-6)


def test_tiff_depths_and_codings(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP)
    np.testing.assert_allclose(read_picture(path), as_rgb(DEEP) / 65535, atol=1e-7)
    tifffile.imwrite(path, GREY, photometric="miniswhite")
    np.testing.assert_allclose(read_picture(path), as_rgb(255 - GREY) / 255, atol=1e-6)
    tifffile.imwrite(path, (GREY / 255).astype(np.float32))
    np.testing.assert_allclose(read_picture(path), as_rgb(GREY) / 255, atol=1e-6)
    colormap = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    tifffile.imwrite(path, GREY, photometric="palette", colormap=colormap)
    np.testing.assert_allclose(read_picture(path), np.moveaxis(colormap[:, GREY], 0, -1) / 65535, atol=1e-6)
    np.testing.assert_array_equal(read_picture_mask(path).values, GREY)
    Image.fromarray(GREY > 127).save(path)
    np.testing.assert_array_equal(read_picture(path), as_rgb(GREY > 127))
    np.testing.assert_array_equal(read_picture_mask(path).values, GREY > 127)


@pytest.mark.parametrize(
    ("pixels", "options", "reason"),
    [
        (np.zeros((2, 5, 7), np.uint8), {"photometric": "minisblack"}, "2 pages"),
        (np.full((5, 7), 7.0, np.float32), {}, "no known range"),
        (np.full((5, 7), 7, np.int32), {}, "no known range"),
        (np.zeros((5, 7, 4), np.uint8), {"photometric": "separated"}, "colour space 5"),
    ],
)
def test_tiff_that_is_no_picture_is_refused(tmp_path, pixels, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(ValueError, match=f"a.tif cannot be read.*{reason}"):
        read_picture(tmp_path / "a.tif")


def test_tiff_mask_of_which_0_is_white_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="miniswhite")
    with pytest.raises(ValueError, match=r"a\.tif cannot be read: 0 is white"):
        read_picture_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_truncated_file_is_named(tmp_path, suffix, kept):
    path = tmp_path / f"broken{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    for read in (read_picture, read_picture_mask):
        with pytest.raises(ValueError, match=f"broken{suffix} cannot be read: "):
            read(path)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@settings(max_examples=60, derandomize=True, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_give_a_picture_or_an_error_that_names_the_file(tmp_path_factory, suffix, changes):
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
            assert f"broken{suffix} cannot be read: " in str(error)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate"])
def test_truncated_compressed_tiff_is_named(tmp_path, compression):
    path = tmp_path / "broken.tif"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, compression=compression)
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(ValueError, match=r"broken\.tif cannot be read: "):
        read_picture(path)


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_foreign_content_and_missing_file_are_named(tmp_path, suffix):
    path = tmp_path / f"foreign{suffix}"
    for read in (read_picture, read_picture_mask, picture_shape):
        path.write_bytes(b"this is no picture, whatever it is called")
        with pytest.raises(ValueError, match=f"foreign{suffix} cannot be read: "):
            read(path)
        with pytest.raises(FileNotFoundError, match=f"missing{suffix}"):
            read(tmp_path / f"missing{suffix}")


def test_mask_modes(tmp_path):
    path = tmp_path / "m.png"
    opaque = np.full((5, 7), 255, np.uint8)
    opaque[0] = 3
    binary = np.where(GREY > 127, 255, 0).astype(np.uint8)
    for stored in (binary, as_rgb(binary), np.dstack([as_rgb(binary), opaque]), np.dstack([binary, opaque])):
        Image.fromarray(stored).save(path)
        mask = read_picture_mask(path)
        np.testing.assert_array_equal(mask.values, binary)
        assert not mask.coloured and not mask.lossy and mask.palette is None
    Image.fromarray(binary > 0).save(path)
    np.testing.assert_array_equal(read_picture_mask(path).values, binary > 0)
    Image.fromarray(DEEP).save(path)
    np.testing.assert_array_equal(read_picture_mask(path).values, DEEP)


def test_coloured_mask_keeps_its_brightest_channel(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "m.png")
    mask = read_picture_mask(tmp_path / "m.png")
    assert mask.coloured
    np.testing.assert_array_equal(mask.values, COLOURS.max(axis=-1))


def test_jpeg_is_lossy_whatever_its_suffix(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "m.png", format="JPEG")
    assert read_picture_mask(tmp_path / "m.png").lossy


def test_cmyk_mask_is_refused(tmp_path):
    Image.fromarray(COLOURS).convert("CMYK").save(tmp_path / "m.jpg")
    with pytest.raises(ValueError, match=r"m\.jpg cannot be read: a mask of the mode CMYK"):
        read_picture_mask(tmp_path / "m.jpg")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_intensity_window_says_which_stored_values_become_0_and_1(tmp_path, suffix):
    twelve_bits = DEEP >> 4
    Image.fromarray(twelve_bits).save(tmp_path / f"a{suffix}")
    expected = np.clip((as_rgb(twelve_bits).astype(float) - 1000) / 2000, 0, 1)
    np.testing.assert_allclose(read_picture(tmp_path / f"a{suffix}", (1000, 3000)), expected, atol=1e-6)
