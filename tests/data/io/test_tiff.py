from __future__ import annotations

import logging

import numpy as np
import pytest
import tifffile
from binary_masks import read_mask
from PIL import Image

from monai_tunevlseg.data.io.pictures import picture_shape, read_picture, read_picture_mask

COLORS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = COLORS[..., 0]
DEEP = np.random.default_rng(1).integers(0, 65536, (5, 7), dtype=np.uint16)


def as_rgb(gray):
    return np.stack([gray] * 3, axis=-1)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_color_tiff_that_claims_to_be_gray_is_read_in_colors(tmp_path, compression, planar):
    stored = COLORS if planar == "contig" else np.moveaxis(COLORS, -1, 0)
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
    np.testing.assert_allclose(read_picture(tmp_path / "a.tif"), COLORS / 255, atol=1e-6)
    assert picture_shape(tmp_path / "a.tif") == (5, 7)


COMPRESSIONS = [None, "zlib", "lzw", "packbits", "zstd", "lzma"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("predictor", [False, True])
def test_tiff_reads_the_same_with_every_compression(tmp_path, compression, predictor):
    if predictor and compression in (None, "packbits"):
        pytest.skip("tifffile writes no predictor without such a compression")
    path = tmp_path / "a.tif"
    options = {"compression": compression, "predictor": predictor}
    for pixels, expected in (
        (COLORS, COLORS / 255),
        (DEEP, as_rgb(DEEP) / 65535),
        ((GRAY / 255).astype(np.float32), as_rgb(GRAY) / 255),
        (GRAY / 255, as_rgb(GRAY) / 255),
    ):
        tifffile.imwrite(path, pixels, **options)
        np.testing.assert_allclose(read_picture(path), expected, atol=1e-6)
        mask = read_picture_mask(path)
        np.testing.assert_array_equal(mask.values, pixels.max(axis=-1) if pixels.ndim == 3 else pixels)
    tifffile.imwrite(path, GRAY, photometric="miniswhite", **options)
    np.testing.assert_allclose(read_picture(path), as_rgb(255 - GRAY) / 255, atol=1e-6)
    with pytest.raises(ValueError, match=r"a\.tif.* 0 .*white"):
        read_picture_mask(path)
    for pixels in (GRAY.astype(np.int32), GRAY.astype(np.int16) - 100, GRAY.astype(np.float32)):
        tifffile.imwrite(path, pixels, **options)
        with pytest.raises(ValueError, match=rf"a\.tif.* {pixels.dtype} .*intensity_window"):
            read_picture(path)
        np.testing.assert_array_equal(read_picture_mask(path).values, pixels)
        window = np.clip((as_rgb(pixels).astype(float) - 10) / 90, 0, 1)
        np.testing.assert_allclose(read_picture(path, (10, 100)), window, atol=1e-6)


@pytest.mark.parametrize("bits", [4, 10, 12])
def test_packed_bits_have_their_own_range(tmp_path, bits):
    values = (DEEP >> (16 - bits)).astype(np.uint16 if bits > 8 else np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, bitspersample=bits, photometric="minisblack")
    np.testing.assert_allclose(read_picture(tmp_path / "a.tif"), as_rgb(values) / (2**bits - 1), atol=1e-6)
    mask = read_picture_mask(tmp_path / "a.tif")
    np.testing.assert_array_equal(mask.values, values)
    assert mask.white == 2**bits - 1


@pytest.mark.parametrize("compression", ["raw", "group3", "group4", "tiff_ccitt", "tiff_lzw", "packbits"])
@pytest.mark.parametrize("inverted", [False, True])
def test_one_bit_tiff(tmp_path, compression, inverted):
    options = {"tiffinfo": {262: 0}} if inverted else {}
    shown = GRAY > 127
    Image.fromarray(shown).save(tmp_path / "a.tif", compression=compression, **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert int(tiff.pages[0].photometric) == (0 if inverted else 1)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.tif")), shown)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), as_rgb(shown))
    if inverted:
        with pytest.raises(ValueError, match=r"a\.tif.* 0 .*white"):
            read_mask(tmp_path / "a.tif")
        return
    for threshold in (None, 128):
        np.testing.assert_array_equal(read_mask(tmp_path / "a.tif", mask_threshold=threshold), shown)


def test_boolean_masks_of_tifffile_are_why_white_0_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY > 127)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), GRAY > 127)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.tif")), GRAY <= 127)


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
def test_jpeg_in_a_tiff_is_lossy(tmp_path, mode):
    smooth = Image.fromarray(np.full((16, 16, 3), (200, 100, 50), np.uint8)).convert(mode)
    smooth.save(tmp_path / "a.tif", compression="jpeg", quality=95)
    np.testing.assert_allclose(read_picture(tmp_path / "a.tif"), np.asarray(smooth.convert("RGB")) / 255, atol=0.02)
    assert read_picture_mask(tmp_path / "a.tif").lossy


def test_tiff_depths_and_codings(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP)
    np.testing.assert_allclose(read_picture(path), as_rgb(DEEP) / 65535, atol=1e-7)
    tifffile.imwrite(path, GRAY, photometric="miniswhite")
    np.testing.assert_allclose(read_picture(path), as_rgb(255 - GRAY) / 255, atol=1e-6)
    tifffile.imwrite(path, (GRAY / 255).astype(np.float32))
    np.testing.assert_allclose(read_picture(path), as_rgb(GRAY) / 255, atol=1e-6)
    colormap = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    tifffile.imwrite(path, GRAY, photometric="palette", colormap=colormap)
    np.testing.assert_allclose(read_picture(path), np.moveaxis(colormap[:, GRAY], 0, -1) / 65535, atol=1e-6)
    np.testing.assert_array_equal(read_picture_mask(path).values, GRAY)
    Image.fromarray(GRAY > 127).save(path)
    np.testing.assert_array_equal(read_picture(path), as_rgb(GRAY > 127))
    np.testing.assert_array_equal(read_picture_mask(path).values, GRAY > 127)


@pytest.mark.parametrize(
    ("pixels", "options", "reason"),
    [
        (np.zeros((2, 5, 7), np.uint8), {"photometric": "minisblack"}, "2 pages"),
        (np.full((5, 7), 7.0, np.float32), {}, "intensity_window"),
        (np.full((5, 7), 7, np.int32), {}, "intensity_window"),
        (np.zeros((5, 7, 5), np.uint8), {"photometric": "minisblack", "planarconfig": "contig"}, "5 channels"),
        (np.zeros((5, 7, 4), np.uint8), {"photometric": "separated"}, "SEPARATED"),
    ],
)
def test_tiff_other_than_a_picture_is_refused(tmp_path, pixels, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(ValueError, match=f"a.tif.*{reason}"):
        read_picture(tmp_path / "a.tif")


def test_damaged_tiff_logs_nothing(tmp_path, caplog):
    path = tmp_path / "broken.tif"
    tifffile.imwrite(path, DEEP, compression="lzw", tile=(16, 16))
    content = bytearray(path.read_bytes())
    for position in range(8, 60):
        content[position] = 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.tif"):
        read_picture(path)
    assert not caplog.records
    logging.getLogger("tifffile").warning("others hear it")
    assert caplog.records
