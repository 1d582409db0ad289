"""Pictures become PNG, and volumes `.nii.gz`, without a change in what is read."""

from __future__ import annotations

import errno
import gzip
import re
import signal

import imagecodecs
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from PIL import Image

from monai_tunevlseg.data.io.pictures import read_picture, read_pixels
from monai_tunevlseg.data.io.writing import write_nifti, write_png, write_volume

RNG = np.random.default_rng(0)
GRAY, COLORS = RNG.integers(0, 256, (5, 7), dtype=np.uint8), RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP, DEEP_COLORS = RNG.integers(0, 65536, (5, 7), dtype=np.uint16), RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)


def paletted(colors):
    picture = Image.fromarray(GRAY // 86, mode="P")
    picture.putpalette(colors)
    return picture


def turned():
    exif = Image.Exif()
    exif[274] = 6
    return {"exif": exif}


PICTURES = {
    "gray.png": (Image.fromarray(GRAY), {}),
    "rgb.png": (Image.fromarray(COLORS), {}),
    "rgba.png": (Image.fromarray(np.dstack([COLORS, GRAY])), {}),
    "gray_alpha.png": (Image.fromarray(np.dstack([GRAY, GRAY[::-1]]), mode="LA"), {}),
    "one_bit.png": (Image.fromarray(GRAY > 99), {}),
    "deep.png": (Image.fromarray(DEEP), {}),
    "gray_palette.png": (paletted([0, 0, 0, 80, 80, 80, 255, 255, 255]), {}),
    "palette.gif": (paletted([0, 0, 0, 80, 9, 80, 255, 255, 255]), {}),
    "gray.jpg": (Image.fromarray(GRAY), turned()),
    "rgb.jpg": (Image.fromarray(COLORS), turned()),
    "cmyk.jpg": (Image.fromarray(COLORS).convert("CMYK"), {}),
    "rgb.bmp": (Image.fromarray(COLORS), {}),
}
TIFFS = {
    "deep.tif": DEEP,
    "deep_rgb.tif": DEEP_COLORS,
    "white_is_zero.tif": GRAY,
    "float.tif": (DEEP / 65535).astype(np.float32),
}
IS_GRAY = {"gray.png", "gray_alpha.png", "one_bit.png", "deep.png", "gray_palette.png", "gray.jpg"} | {
    *("deep.tif", "white_is_zero.tif", "float.tif")
}


@pytest.mark.parametrize("name", [*PICTURES, *TIFFS, "deep_rgb.png"])
def test_a_png_of_any_picture_reads_the_same(tmp_path, name):
    if name in PICTURES:
        picture, options = PICTURES[name]
        picture.save(tmp_path / name, **options)
    elif name in TIFFS:
        photometric = "miniswhite" if "white" in name else "rgb" if "rgb" in name else "minisblack"
        tifffile.imwrite(tmp_path / name, TIFFS[name], photometric=photometric)
    else:
        (tmp_path / name).write_bytes(imagecodecs.png_encode(DEEP_COLORS))
    pixels = read_pixels(tmp_path / name)
    assert pixels.dtype == (np.uint16 if "deep" in name or "float" in name else np.uint8)
    assert pixels.ndim == (2 if name in IS_GRAY else 3)
    write_png(tmp_path / "written.png", pixels)
    expected = read_picture(tmp_path / name)
    step = 1 / 65535 if "float" in name else 1e-7 if "white" in name else 0  # a float's rounding of 1 - x
    np.testing.assert_allclose(read_picture(tmp_path / "written.png"), expected, rtol=0, atol=step)
    np.testing.assert_array_equal(read_pixels(tmp_path / "written.png"), pixels)


@pytest.mark.parametrize("pixels", [GRAY, COLORS, DEEP, DEEP_COLORS], ids=["gray", "rgb", "deep", "deep rgb"])
def test_a_quickly_written_png_holds_the_same_pixels(tmp_path, pixels):
    write_png(tmp_path / "written.png", pixels, quick=True)
    np.testing.assert_array_equal(read_pixels(tmp_path / "written.png"), pixels)


def test_a_quickly_written_photograph_is_a_little_larger(tmp_path):
    rows, columns, channels = np.mgrid[:256, :256, :3]
    noise = np.random.default_rng(0).normal(0, 2, rows.shape)
    photograph = np.uint8(128 + 80 * np.sin(rows / 30) * np.cos(columns / (20 + 10 * channels)) + noise)
    for name, quick in (("slow.png", False), ("quick.png", True)):
        write_png(tmp_path / name, photograph, quick)
    slow, quick = ((tmp_path / name).stat().st_size for name in ("slow.png", "quick.png"))
    assert slow < quick < 1.2 * slow


def test_a_window_scales_pixels_to_the_whole_range(tmp_path):
    Image.fromarray(np.array([[0, 1000, 4095, 60000]], np.uint16)).save(tmp_path / "x.png")
    found = read_pixels(tmp_path / "x.png", (0, 4095))
    np.testing.assert_array_equal(found, [[0, round(1000 / 4095 * 65535), 65535, 65535]])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mhd", ".nrrd"])
def test_a_volume_keeps_its_voxels_and_geometry(tmp_path, suffix):
    voxels = RNG.integers(-1000, 3000, (5, 4, 3)).astype(np.int16)
    source, path = tmp_path / f"x{suffix}", tmp_path / "written.nii.gz"
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 0.75, 2))
    image.SetOrigin((1, 2, 3))
    sitk.WriteImage(image, source)
    write_volume(source, path)
    written = sitk.ReadImage(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), voxels)
    assert written.GetSpacing() == (0.5, 0.75, 2) and written.GetOrigin() == (1, 2, 3)
    assert written.GetDirection() == image.GetDirection()


def test_the_scale_of_a_header_is_kept_to_the_bit(tmp_path):
    image = nib.Nifti1Image(RNG.normal(size=(4, 3, 2)), np.eye(4))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "x.nii")
    assert nib.load(tmp_path / "x.nii").dataobj.slope != 1
    write_volume(tmp_path / "x.nii", tmp_path / "written.nii.gz")
    assert gzip.decompress((tmp_path / "written.nii.gz").read_bytes()) == (tmp_path / "x.nii").read_bytes()


@pytest.mark.parametrize("write", ["png", "nifti"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, write):
    path = tmp_path / {"png": "taken.png", "nifti": "taken.nii"}[write]
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=rf"^{re.escape(str(path))} cannot be written: Is a directory;"):
        if write == "png":
            write_png(path, GRAY)
        else:
            nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), np.eye(4)), tmp_path / "v.nii")
            write_nifti(path, np.zeros((3, 4, 5), np.uint8), tmp_path / "v.nii")


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="limits the size of files")
def test_a_picture_for_which_the_disk_has_no_room_is_named(tmp_path):
    import resource  # not on every system

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        with pytest.raises(OSError, match=rf"^{re.escape(str(tmp_path / 'a.png'))} cannot be written: ") as raised:
            write_png(tmp_path / "a.png", GRAY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.__cause__.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())
