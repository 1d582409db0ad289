from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from binary_masks import read_mask
from PIL import Image, ImageOps

from monai_tunevlseg.data.io.pictures import (
    PICTURE_SUFFIXES,
    exif_hint,
    exif_orientation,
    peak_fraction,
    picture_shape,
    read_gray_picture,
    read_picture,
    read_picture_mask,
    read_unique_picture_values,
)

COLORS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = COLORS[..., 0]
DEEP = np.random.default_rng(1).integers(0, 65536, (5, 7), dtype=np.uint16)


def as_rgb(gray):
    return np.stack([gray] * 3, axis=-1)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("RGB", COLORS / 255),
        ("RGBA", COLORS / 255),
        ("L", as_rgb(GRAY) / 255),
        ("LA", as_rgb(GRAY) / 255),
        ("1", as_rgb(GRAY > 127)),
    ],
)
def test_every_mode_becomes_rgb_in_0_1(tmp_path, mode, expected):
    source = Image.fromarray(COLORS if "RGB" in mode else GRAY)
    picture = source.point(lambda value: 255 * (value > 127), "1") if mode == "1" else source.convert(mode)
    picture.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == mode
    image = read_picture(tmp_path / "a.png")
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_alpha_is_dropped_and_not_blended(tmp_path):
    transparent = np.dstack([COLORS, np.zeros((5, 7), np.uint8)])
    Image.fromarray(transparent).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), COLORS / 255, atol=1e-6)


def test_16_bits_keep_their_depth(tmp_path):
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "I;16"
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), as_rgb(DEEP) / 65535, atol=1e-7)


def test_palette_gives_colors_of_an_image_and_indices_of_a_mask(tmp_path):
    picture = Image.fromarray(GRAY % 3).convert("L")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "P"
    np.testing.assert_allclose(
        read_picture(tmp_path / "a.png"),
        np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])[GRAY % 3] / 255,
        atol=1e-6,
    )
    mask = read_picture_mask(tmp_path / "a.png")
    np.testing.assert_array_equal(mask.values, GRAY % 3)
    assert mask.palette is not None
    np.testing.assert_array_equal(mask.palette[1], [40, 50, 60])


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_every_suffix_reads_and_measures(tmp_path, suffix):
    path = tmp_path / f"a{suffix.upper()}"
    smooth = np.full((5, 7, 3), (200, 100, 50), np.uint8)
    Image.fromarray(smooth).save(path)
    np.testing.assert_allclose(read_picture(path), smooth / 255, atol=0.02)
    assert picture_shape(path) == (5, 7)


TURNED = {  # the stored pixels as viewers display them
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.rot90(np.fliplr(a)),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.flipud(a)),
    8: np.rot90,
}


def save_turned(path, pixels, orientation):
    """Write stored pixels with the orientation in which viewers display them."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, extratags=[(274, "H", 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(pixels).save(
            path, exif=exif, **({"quality": 100, "subsampling": 0} if "j" in path.suffix else {})
        )
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_and_masks_are_read_as_they_are_displayed(tmp_path, suffix, orientation):
    smooth = np.kron(GRAY, np.ones((8, 8), np.uint8))
    path = save_turned(tmp_path / f"a{suffix}", as_rgb(smooth), orientation)
    shown = TURNED[orientation](as_rgb(smooth))
    np.testing.assert_allclose(read_picture(path), shown / 255, atol=0.02)
    np.testing.assert_allclose(read_picture_mask(path).values, shown[..., 0], atol=5)
    assert (
        picture_shape(path) == read_unique_picture_values(path)[0] == read_gray_picture(path, 8)[0] == shown.shape[:2]
    )
    np.testing.assert_allclose(np.asarray(read_gray_picture(path, 400)[1]), shown[..., 0], atol=5)
    assert exif_orientation(path) == orientation
    if suffix != ".tif":
        np.testing.assert_allclose(np.asarray(ImageOps.exif_transpose(Image.open(path))), shown, atol=5)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_without_a_meaning_turns_nothing(tmp_path, orientation):
    path = save_turned(tmp_path / "a.png", COLORS, orientation)
    np.testing.assert_allclose(read_picture(path), COLORS / 255, atol=1e-6)
    assert (picture_shape(path), exif_orientation(path)) == ((5, 7), 1)


def test_exif_after_the_pixels_of_a_png_counts(tmp_path):
    path = save_turned(tmp_path / "a.png", COLORS, 6)
    content = path.read_bytes()
    at = content.index(b"eXIf") - 4
    length = int.from_bytes(content[at : at + 4]) + 12
    chunk, end = content[at : at + length], len(content) - 12
    path.write_bytes(content[:at] + content[at + length : end] + chunk + content[end:])
    np.testing.assert_array_equal(np.asarray(Image.open(path)), COLORS)
    assert picture_shape(path) == read_picture(path).shape[:2] == (7, 5)


def test_message_about_sizes_names_exif_if_it_is_the_reason(tmp_path):
    path = save_turned(tmp_path / "a.jpg", COLORS, 6)
    assert "EXIF orientation 6" in exif_hint(path, (7, 5), (5, 7))
    assert exif_hint(path, (7, 5), (6, 5)) == ""
    assert exif_hint(save_turned(path, COLORS, 1), (5, 7), (7, 5)) == ""
    assert exif_hint(Path("a.nii.gz"), (5, 7), (7, 5)) == ""


def test_mask_modes(tmp_path):
    path = tmp_path / "m.png"
    binary = np.where(GRAY > 127, 255, 0).astype(np.uint8)
    opaque = np.full((5, 7), 255, np.uint8)
    opaque[binary == 0] = 3
    for stored in (binary, as_rgb(binary), np.dstack([as_rgb(binary), opaque]), np.dstack([binary, opaque])):
        Image.fromarray(stored).save(path)
        mask = read_picture_mask(path)
        np.testing.assert_array_equal(mask.values, binary)
        assert not mask.colored and not mask.lossy and mask.palette is None
    Image.fromarray(binary > 0).save(path)
    np.testing.assert_array_equal(read_picture_mask(path).values, binary > 0)
    Image.fromarray(DEEP).save(path)
    np.testing.assert_array_equal(read_picture_mask(path).values, DEEP)


SHAPE = np.where(GRAY > 127, 255, 0).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 0, 10)])
@pytest.mark.parametrize("alpha", [SHAPE, SHAPE * 0])
def test_shape_in_the_transparency_is_the_mask(tmp_path, suffix, color, alpha):
    path = tmp_path / f"m{suffix}"
    for stored in (np.dstack([np.full((5, 7, 3), color, np.uint8), alpha]), np.dstack([SHAPE * 0 + color[0], alpha])):
        Image.fromarray(stored.astype(np.uint8)).save(path)
        for threshold in (None, 128):
            np.testing.assert_array_equal(read_mask(path, mask_threshold=threshold), alpha > 0)


@pytest.mark.parametrize("color", [0, 255])
def test_opaque_mask_is_read_from_its_colors(tmp_path, color):
    Image.fromarray(np.dstack([np.full((5, 7, 3), color, np.uint8), SHAPE * 0 + 255])).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png") == (color > 0)).all()


def test_transparency_that_contradicts_the_colors_is_refused(tmp_path):
    Image.fromarray(np.dstack([as_rgb(SHAPE), 255 - SHAPE])).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=r"m\.png.*transparen"):
        read_picture_mask(tmp_path / "m.png")


def raw_png(path, values, bits, palette=None):
    """Write PNGs that Pillow cannot write: gray of 2 or 4 bits, and palettes with fewer colors than indices."""
    rows = b"".join(
        b"\0" + np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes() for row in values
    )
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0 if palette is None else 3, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
        if data is not None
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_index_beyond_the_palette_is_refused(tmp_path):
    path = tmp_path / "m.png"
    raw_png(path, np.array([[0, 1, 9]], np.uint8), 4, bytes([0, 0, 0, 255, 255, 255]))
    for read in (read_picture_mask, read_picture, read_unique_picture_values):
        with pytest.raises(ValueError, match=r"m\.png.* index 9 .* 2 colors"):
            read(path)


def test_palette_index_without_a_color_of_the_shared_cases(shared_dir):
    with pytest.raises(ValueError, match=r"pal_short\.png.* index \d+ .* \d+ colors"):
        read_picture_mask(shared_dir / "cases" / "faults" / "pal_short.png")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_keep_label_values_and_have_full_brightness(tmp_path, bits):
    values, path = GRAY % 2**bits, tmp_path / "m.png"
    raw_png(path, values, bits)
    np.testing.assert_allclose(read_picture(path), as_rgb(values) / (2**bits - 1), atol=1e-6)
    mask = read_picture_mask(path)
    np.testing.assert_array_equal(mask.values, values)
    shape, row = read_unique_picture_values(path)
    assert (shape, row.white, mask.white) == ((5, 7), 2**bits - 1, 2**bits - 1)
    np.testing.assert_array_equal(row.values[0], np.unique(values))
    np.testing.assert_array_equal(read_mask(path, label_value=1), values == 1)
    np.testing.assert_array_equal(read_mask(path, mask_threshold=255), values == 2**bits - 1)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bits_of_every_channel_are_kept(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7, channels), dtype=np.uint16)
    pixels[..., -1] = 65535 if channels in (2, 4) else pixels[..., -1]
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    colors = pixels[..., :3] if channels > 2 else as_rgb(pixels[..., 0])
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), colors / 65535, atol=1e-7)
    np.testing.assert_array_equal(read_picture_mask(tmp_path / "a.png").values, colors.max(axis=-1))


def test_animation_is_refused(tmp_path):
    frames = [Image.fromarray(SHAPE), Image.fromarray(255 - SHAPE)]
    for suffix in (".gif", ".png"):
        frames[0].save(tmp_path / f"m{suffix}", save_all=True, append_images=frames[1:])
        with pytest.raises(ValueError, match=rf"m\{suffix}.* 2 frames"):
            read_picture_mask(tmp_path / f"m{suffix}")


@pytest.mark.parametrize(("suffix", "form"), [(".tif", "PNG"), (".png", "TIFF"), (".jpg", "BMP"), (".bmp", "GIF")])
def test_content_and_not_the_suffix_chooses_the_decoder(tmp_path, suffix, form):
    path = tmp_path / f"m{suffix}"
    Image.fromarray(SHAPE).save(path, format=form)
    np.testing.assert_array_equal(read_picture(path), as_rgb(SHAPE > 0))
    np.testing.assert_array_equal(read_mask(path), SHAPE > 0)
    assert picture_shape(path) == (5, 7)


def test_peak_fraction_of_types_with_more_than_8_bits(tmp_path):
    for suffix in (".png", ".tif"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(np.full((5, 7), 4095, np.uint16)).save(path)
        assert peak_fraction(path) == pytest.approx(4095 / 65535)
        Image.fromarray(np.zeros((5, 7), np.uint16)).save(path)
        assert peak_fraction(path) is None
        Image.fromarray(GRAY).save(path)
        assert peak_fraction(path) is None


def test_memory_of_a_large_picture_is_one_float_for_each_channel(tmp_path):
    Image.fromarray(np.zeros((1000, 1000, 3), np.uint8)).save(tmp_path / "a.png")
    read_picture(tmp_path / "a.png")
    tracemalloc.start()
    image = np.ascontiguousarray(np.moveaxis(read_picture(tmp_path / "a.png"), -1, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert image.nbytes == 12_000_000
    assert peak < 1.4 * image.nbytes


def test_colored_mask_keeps_its_brightest_channel(tmp_path):
    Image.fromarray(COLORS).save(tmp_path / "m.png")
    mask = read_picture_mask(tmp_path / "m.png")
    assert mask.colored
    np.testing.assert_array_equal(mask.values, COLORS.max(axis=-1))


def test_jpeg_is_lossy_with_any_suffix(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "m.png", format="JPEG")
    assert read_picture_mask(tmp_path / "m.png").lossy


def test_cmyk_mask_is_refused(tmp_path):
    Image.fromarray(COLORS).convert("CMYK").save(tmp_path / "m.jpg")
    with pytest.raises(ValueError, match=r"m\.jpg.* CMYK"):
        read_picture_mask(tmp_path / "m.jpg")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_ends_of_the_intensity_window_become_0_and_1(tmp_path, suffix):
    twelve_bits = DEEP >> 4
    Image.fromarray(twelve_bits).save(tmp_path / f"a{suffix}")
    expected = np.clip((as_rgb(twelve_bits).astype(float) - 1000) / 2000, 0, 1)
    np.testing.assert_allclose(read_picture(tmp_path / f"a{suffix}", (1000, 3000)), expected, atol=1e-6)
