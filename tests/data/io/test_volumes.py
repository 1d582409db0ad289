from __future__ import annotations

import gzip
import itertools
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.data.io import volumes
from monai_tunevlseg.data.io.volumes import (
    intensity_range,
    read_volume,
    read_volume_mask,
    same_grid,
    stored_affine,
    stored_order,
    stored_shape,
    upright_affine,
    upright_shape,
)
from monai_tunevlseg.data.io.voxel_data import read_stream

AFFINE = np.array([[-0.7, 0.1, 0, 10], [0, -0.8, 0.2, 20], [0, 0, 2.5, -30], [0, 0, 0, 1]])
VOLUME = np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32)
UPRIGHT = np.array([[0, 0, -0.7, 10], [0, -0.8, 0, 20], [-2.5, 0, 0, 30], [0, 0, 0, 1]])
"""The affine of an array from superior to inferior, anterior to posterior and right to left."""
ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]


def lps(values):
    """Turn an array that is stored from right to left, anterior to posterior and inferior to superior upright."""
    return np.flip(values.transpose(2, 1, 0), 0)


def stored_as(codes, anatomy):
    """Store an upright array in an order of axes, by nibabel."""
    image = nib.Nifti1Image(anatomy, UPRIGHT, dtype=anatomy.dtype)
    wanted = nib.orientations.axcodes2ornt(codes)
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(UPRIGHT), wanted))


def save_as(path, image):
    """Write in the format of the suffix: NIfTI with nibabel, the others with ITK from a NIfTI file."""
    nifti = path.with_name(f"source_{path.name.split('.')[0]}.nii")
    nib.save(image, path if path.name.endswith((".nii", ".nii.gz")) else nifti)
    if not path.exists():
        sitk.WriteImage(sitk.ReadImage(str(nifti)), str(path), path.name.startswith("packed"))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("volumes")


@settings(max_examples=150, deadline=None)
@given(
    codes=st.sampled_from(ORIENTATIONS),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]),
    form=st.sampled_from(["a.nii", "a.nii.gz", "a.nrrd", "packed.nrrd", "a.mhd", "packed.mhd"]),
    shape=st.tuples(*(st.integers(2, 6),) * 3),
)
def test_one_anatomy_reads_the_same_in_every_order_and_format(folder, codes, dtype, form, shape):
    for path in folder.glob("*"):
        path.unlink()
    anatomy = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    path = save_as(folder / form, stored_as(codes, anatomy))
    np.testing.assert_array_equal(read_volume_mask(path).values, anatomy)
    assert upright_shape(path) == shape
    np.testing.assert_allclose(upright_affine(path), UPRIGHT, atol=1e-4)
    for axis in (0, 1, 2):
        for index in range(shape[2 - axis]):
            expected = anatomy.take(index, axis=2 - axis)
            np.testing.assert_array_equal(read_volume_mask(path, index, axis).values, expected)
    assert stored_shape(path) == tuple(sitk.ReadImage(str(path)).GetSize())
    in_file = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose()
    np.testing.assert_array_equal(stored_order(anatomy, path), in_file)


def test_all_orders_are_tried():
    assert len(set(ORIENTATIONS)) == 48


@settings(max_examples=60, deadline=None)
@given(image_codes=st.sampled_from(ORIENTATIONS), mask_codes=st.sampled_from(ORIENTATIONS))
def test_mask_in_another_order_is_turned_onto_its_image(folder, image_codes, mask_codes):
    anatomy = np.random.default_rng(0).integers(0, 9, (3, 4, 5)).astype(np.uint8)
    image = save_as(folder / "image.nii", stored_as(image_codes, anatomy))
    mask = save_as(folder / "mask.nii", stored_as(mask_codes, anatomy))
    assert same_grid(mask, image)
    np.testing.assert_array_equal(read_volume_mask(mask, like=image).values, read_volume_mask(image).values)
    np.testing.assert_array_equal(read_volume_mask(mask, 2, 1, like=image).values, read_volume_mask(image, 2, 1).values)


def image_of_zeros(values):
    """Declare an affine that is zero, as some programs do."""
    image = nib.Nifti1Image(values, None)
    image.header["sform_code"] = 1
    return image


UNTOLD = [lambda values: nib.Nifti1Image(values, None), image_of_zeros]
OTHERS = [
    lambda values: nib.Nifti1Image(values, np.eye(4)),
    lambda values: nib.Nifti1Image(values, np.diag([-0.7, -0.8, 2.5, 1])),
]


@pytest.mark.parametrize("make", UNTOLD + OTHERS)
def test_mask_of_another_geometry_lies_on_its_image_as_stored(tmp_path, make):
    image = save_as(tmp_path / "image.nii", stored_as("RAS", VOLUME))
    nib.save(make(np.asarray(nib.load(image).dataobj)), tmp_path / "mask.nii")
    assert not same_grid(tmp_path / "mask.nii", image)
    np.testing.assert_array_equal(
        read_volume_mask(tmp_path / "mask.nii", like=image).values, read_volume_mask(image).values
    )


def test_flipped_mask_of_a_flat_image_is_turned(tmp_path):
    flat = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    nib.save(nib.Nifti1Image(flat, np.diag([-1.0, -1, 1, 1])), tmp_path / "image.nii")
    turned = np.eye(4)
    turned[:2, 3] = -2, -3
    nib.save(nib.Nifti1Image(flat[::-1, ::-1], turned), tmp_path / "mask.nii")
    found = read_volume_mask(tmp_path / "mask.nii", like=tmp_path / "image.nii").values
    np.testing.assert_array_equal(found, flat[..., 0].T)


@pytest.mark.parametrize("make", UNTOLD)
def test_file_without_a_geometry_is_stored_as_dicom_has_it(tmp_path, make):
    nib.save(make(VOLUME), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_volume_mask(tmp_path / "a.nii").values, lps(VOLUME))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volume_and_slices_share_one_scale(tmp_path, save, suffix):
    path = save(tmp_path / f"v{suffix}", VOLUME)
    low, high = np.percentile(VOLUME, (0.5, 99.5))
    expected = np.clip((lps(VOLUME) - low) / (high - low), 0, 1)
    whole = read_volume(path)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, np.repeat(expected[..., None], 3, axis=-1), atol=1e-6)
    for axis in (0, 1, 2):
        for index in range(whole.shape[2 - axis]):
            np.testing.assert_array_equal(read_volume(path, index, axis), whole.take(index, axis=2 - axis))


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("inter", [0, -1024])
def test_window_does_not_depend_on_the_rest_of_the_volume(tmp_path, dtype, inter):
    for name, brightest in (("plain", 300), ("metal", 3000)):
        houndsfield = np.linspace(-1000, 60, 6 * 7 * 5).reshape(6, 7, 5)
        houndsfield[0, 0] = brightest
        image = nib.Nifti1Image((houndsfield - inter).round().astype(dtype), AFFINE)
        image.header.set_slope_inter(1, inter)
        nib.save(image, tmp_path / f"{name}.nii.gz")
    window = (-160, 240)
    plain, metal = (read_volume(tmp_path / f"{name}.nii.gz", 2, 2, window) for name in ("plain", "metal"))
    np.testing.assert_array_equal(plain, metal)
    values = read_volume_mask(tmp_path / "plain.nii.gz", 2).values
    np.testing.assert_allclose(plain[..., 0], np.clip((values + 160) / 400, 0, 1), atol=1e-6)
    assert np.abs(read_volume(tmp_path / "plain.nii.gz") - read_volume(tmp_path / "metal.nii.gz")).max() > 0.3


@pytest.mark.parametrize("slope", [0.5, -0.5])
def test_range_follows_the_slope(tmp_path, slope):
    image = nib.Nifti1Image(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), AFFINE)
    image.header.set_slope_inter(slope, -3)
    nib.save(image, tmp_path / "a.nii")
    values = np.asarray(nib.load(tmp_path / "a.nii").dataobj)
    np.testing.assert_allclose(intensity_range(tmp_path / "a.nii"), np.percentile(values, (0.5, 99.5)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (6, 7, 1, 1), (1, 6, 7), (6, 1, 7)])
@pytest.mark.parametrize("affine", [np.eye(4), AFFINE, None])
def test_flat_image_has_columns_first_with_any_affine(tmp_path, shape, affine):
    flat = np.arange(42, dtype=np.uint8).reshape(6, 7)
    nib.save(nib.Nifti1Image(flat.reshape(shape), affine), tmp_path / "a.nii.gz")
    assert upright_shape(tmp_path / "a.nii.gz") == (7, 6)
    np.testing.assert_array_equal(read_volume_mask(tmp_path / "a.nii.gz").values, flat.T)
    assert read_volume(tmp_path / "a.nii.gz").shape == (7, 6, 3)
    np.testing.assert_array_equal(
        stored_order(flat.T, tmp_path / "a.nii.gz"), flat.reshape(stored_shape(tmp_path / "a.nii.gz"))
    )


def test_last_axis_of_one_does_not_count(tmp_path, save):
    path = save(tmp_path / "a.nii", VOLUME[..., None])
    np.testing.assert_array_equal(read_volume_mask(path).values, lps(VOLUME))
    np.testing.assert_array_equal(read_volume_mask(path, 1, 0).values, lps(VOLUME)[..., 1])


RGB = np.random.default_rng(0).integers(0, 256, (6, 7, 5, 3), dtype=np.uint8)
STRUCT = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize("stored", [RGB[:, :, :, None], RGB, RGB.view(STRUCT)[..., 0]], ids=["5-D", "4-D", "struct"])
def test_colors_are_kept(tmp_path, save, stored):
    path = save(tmp_path / "a.nii", stored)
    assert read_volume_mask(path).colored
    np.testing.assert_array_equal(read_volume_mask(path).values, np.flip(RGB.max(-1).transpose(2, 1, 0), 0))
    expected = np.flip(RGB.transpose(2, 1, 0, 3), 0) / np.float32(255)
    np.testing.assert_allclose(read_volume(path), expected, atol=1e-6)
    np.testing.assert_allclose(read_volume(path, 3, 2), expected[3], atol=1e-6)
    assert upright_shape(path) == (5, 7, 6)


@pytest.mark.parametrize("form", ["a.nii.gz", "a.nrrd", "packed.nrrd"])
def test_colored_picture_that_itk_writes_lies_as_its_png(tmp_path, form):
    picture = np.ascontiguousarray(RGB[:, :, 0])
    sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(tmp_path / form), form.startswith("packed"))
    np.testing.assert_allclose(read_volume(tmp_path / form) * 255, picture, atol=1e-4)


def test_scale_of_the_header_applies(tmp_path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii")
    stored = np.asarray(nib.load(tmp_path / "a.nii").dataobj)
    np.testing.assert_allclose(read_volume_mask(tmp_path / "a.nii", 1).values, stored[..., 2].T)


def test_constant_volume_becomes_zero_and_a_rare_bright_spot_stays(tmp_path, save):
    assert not read_volume(save(tmp_path / "a.nii", np.full((6, 7, 5), 3.0, np.float32))).any()
    spot = np.zeros((20, 20, 20), np.float32)
    spot[3, 4, 5] = 9
    scaled = read_volume(save(tmp_path / "b.nii", spot))[..., 0]
    assert lps(spot)[14, 4, 3] == 9
    assert scaled[14, 4, 3] == 1
    assert scaled.sum() == 1


def test_replaced_file_is_measured_again(tmp_path, save):
    for suffix in (".nii", ".nii.gz"):
        before = read_volume(save(tmp_path / f"a{suffix}", VOLUME))
        after = read_volume(save(tmp_path / f"a{suffix}", VOLUME.astype(np.float64) * 100))
        np.testing.assert_allclose(after, before, atol=1e-5)


def test_affine_and_the_voxel_sizes_of_slices(tmp_path):
    nib.save(nib.Nifti1Image(VOLUME, AFFINE), tmp_path / "a.nii")
    np.testing.assert_allclose(stored_affine(tmp_path / "a.nii"), AFFINE, atol=1e-6)
    moved = upright_affine(tmp_path / "a.nii") @ (4 - 1, 2, 3, 1)
    np.testing.assert_allclose(moved, AFFINE @ (3, 2, 1, 1), atol=1e-5)
    x, y, z = nib.affines.voxel_sizes(AFFINE)
    for axis, order in enumerate([(z, y, x), (z, x, y), (y, x, z)]):
        found = upright_affine(tmp_path / "a.nii", slice_axis=axis)
        np.testing.assert_allclose(found, np.diag([*order, 1]), atol=1e-6)


def test_no_copy_of_eight_bytes_is_made(tmp_path, save):
    path = save(tmp_path / "a.nii", (VOLUME * 100).astype(np.int16))
    assert read_volume_mask(path).values.dtype == np.int16
    image = nib.Nifti1Image((VOLUME * 100).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, tmp_path / "b.nii")
    assert read_volume_mask(tmp_path / "b.nii").values.dtype == np.float32


def test_every_flipped_bit_of_a_compressed_file_is_found_or_harmless(tmp_path, save):
    path = save(tmp_path / "a.nii.gz", (VOLUME * 100).astype(np.int16))
    right, content = read_volume_mask(path).values.copy(), path.read_bytes()
    refused = 0
    for place in range(12, len(content)):  # after the stream's own header
        broken = tmp_path / f"{place}.nii.gz"
        broken.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            np.testing.assert_array_equal(
                read_volume_mask(broken).values, right
            )  # some bits of the stream have no meaning
        except ValueError:
            refused += 1
    assert refused > 0.95 * (len(content) - 12)


@pytest.mark.parametrize("name", ["flipped.nii.gz", "files/niigz-flip3.nii.gz", "files/niigz-flip5.nii.gz"])
def test_damaged_cases_are_named(shared_dir, name):
    path = shared_dir / "cases" / "faults" / name
    with pytest.raises(ValueError, match=path.name):
        read_volume_mask(path, 0)


def test_values_beyond_32_bits_are_named(shared_dir):
    with pytest.raises(ValueError, match=r"f64max\.nii.* \d+ "):
        read_volume(shared_dir / "cases" / "faults" / "f64max.nii", 0)


def test_huge_sizes_are_refused_before_memory_is_allocated(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_shape((8192, 8192, 1024))
    header.set_data_dtype(np.uint8)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as file:
        file.write(header.binaryblock + bytes(4) + bytes(10**6))
    for read in (upright_shape, read_volume):
        with pytest.raises(ValueError, match=r"bomb\.nii\.gz.* 68719476736 "):
            read(tmp_path / "bomb.nii.gz")


def test_stream_that_continues_after_the_voxels_is_refused(tmp_path, save):
    path = save(tmp_path / "a.nii.gz", VOLUME)
    with gzip.open(path, "ab") as file:
        file.write(bytes(2**25))
    with pytest.raises(ValueError, match=r"a\.nii\.gz.* \d+ bytes"):
        read_volume(path)


def test_each_file_is_decompressed_once_for_slices_in_turn(tmp_path, save, monkeypatch):
    image, mask = (save(tmp_path / f"{name}.nii.gz", VOLUME) for name in "ab")
    unpacked = []
    monkeypatch.setattr(volumes, "read_stream", lambda *args: unpacked.append(args) or read_stream(*args))
    for index in range(5):
        read_volume(image, index)
        read_volume_mask(mask, index)
    assert len(unpacked) == 2


def test_cached_voxels_are_read_only(tmp_path, save):
    values = read_volume_mask(save(tmp_path / "a.nii.gz", VOLUME)).values
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0


def test_pipe_is_refused_at_once(tmp_path):
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mhd"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        with pytest.raises(ValueError, match=f"pipe{suffix}"):
            read_volume(tmp_path / f"pipe{suffix}")


@pytest.mark.parametrize(("index", "axis"), [(5, 2), (-1, 2), (6, 0), (0, 3), (0, -1)])
def test_slice_outside_is_refused(tmp_path, save, index, axis):
    with pytest.raises(ValueError, match=rf"a\.nii.*\(6, 7, 5\).* slice {index} .* {axis}\."):
        read_volume(save(tmp_path / "a.nii", VOLUME), index, axis)


def test_slice_of_two_dimensions_is_refused(tmp_path, save):
    with pytest.raises(ValueError, match=r"a\.nii.* slice 0"):
        read_volume(save(tmp_path / "a.nii", VOLUME[..., 0]), 0)


def test_four_dimensions_are_refused(tmp_path, save):
    with pytest.raises(ValueError, match=r"a\.nii.*\(6, 7, 5, 2\)"):
        read_volume(save(tmp_path / "a.nii", np.zeros((6, 7, 5, 2), np.float32)))


def test_complex_voxels_are_refused(tmp_path, save):
    with pytest.raises(ValueError, match=r"a\.nii.* complex64"):
        read_volume(save(tmp_path / "a.nii", np.zeros((3, 4, 5), np.complex64)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, save, wrong):
    volume = VOLUME.copy()
    volume[1, 2, 3] = wrong
    with pytest.raises(ValueError, match=r"a\.nii.* 1 "):
        read_volume(save(tmp_path / "a.nii", volume), 0)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_truncated_file_is_named(tmp_path, save, suffix, kept):
    path = save(tmp_path / f"broken{suffix}", np.random.default_rng(0).normal(size=(20, 20, 20)))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"broken{suffix}"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_foreign_content_and_missing_file_are_named(tmp_path, suffix):
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(b"no image" * 100)
    for read in (upright_shape, read_volume):
        with pytest.raises(ValueError, match=f"foreign{suffix}"):
            read(path)
        with pytest.raises(FileNotFoundError, match=f"missing{suffix}"):
            read(tmp_path / f"missing{suffix}")
