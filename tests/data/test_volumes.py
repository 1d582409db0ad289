from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from monai_tunevlseg.data.volumes import nifti_affine, nifti_shape, read_nifti, read_nifti_values

AFFINE = np.array([[-0.7, 0.1, 0, 10], [0, -0.8, 0.2, 20], [0, 0, 2.5, -30], [0, 0, 0, 1]])
VOLUME = np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volume_and_slices_share_one_scale(tmp_path, save, suffix):
    path = save(tmp_path / f"v{suffix}", VOLUME)
    low, high = np.percentile(VOLUME, (0.5, 99.5))
    expected = np.clip((VOLUME - low) / (high - low), 0, 1)
    whole = read_nifti(path)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    for axis, size in enumerate(VOLUME.shape):
        for index in range(size):
            np.testing.assert_array_equal(read_nifti(path, index, axis), whole.take(index, axis=axis))


def test_two_dimensions(tmp_path, save):
    path = save(tmp_path / "a.nii.gz", VOLUME[..., 0])
    assert nifti_shape(path) == (6, 7)
    assert read_nifti(path).shape == (6, 7)


def test_scale_of_the_header_applies(tmp_path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii")
    stored = np.asarray(nib.load(tmp_path / "a.nii").dataobj)
    np.testing.assert_allclose(read_nifti_values(tmp_path / "a.nii", 1), stored[..., 1])


def test_constant_volume_becomes_zero_and_a_rare_bright_spot_stays(tmp_path, save):
    assert not read_nifti(save(tmp_path / "a.nii", np.full((6, 7, 5), 3.0, np.float32))).any()
    spot = np.zeros((20, 20, 20), np.float32)
    spot[3, 4, 5] = 9
    scaled = read_nifti(save(tmp_path / "b.nii", spot))
    assert scaled[3, 4, 5] == 1
    assert scaled.sum() == 1


def test_replaced_file_is_measured_again(tmp_path, save):
    before = read_nifti(save(tmp_path / "a.nii", VOLUME))
    after = read_nifti(save(tmp_path / "a.nii", VOLUME.astype(np.float64) * 100))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_affine_and_the_voxel_sizes_of_slices(tmp_path):
    nib.save(nib.Nifti1Image(VOLUME, AFFINE), tmp_path / "a.nii")
    np.testing.assert_allclose(nifti_affine(tmp_path / "a.nii"), AFFINE, atol=1e-6)
    x, y, z = nib.affines.voxel_sizes(AFFINE)
    for axis, order in enumerate([(y, z, x), (x, z, y), (x, y, z)]):
        found = nifti_affine(tmp_path / "a.nii", sliced=True, slice_axis=axis)
        np.testing.assert_allclose(found, np.diag([*order, 1]), atol=1e-6)


@pytest.mark.parametrize(("index", "axis"), [(5, 2), (-1, 2), (6, 0), (0, 3), (0, -1)])
def test_slice_outside_is_refused(tmp_path, save, index, axis):
    with pytest.raises(ValueError, match=rf"a\.nii of shape \(6, 7, 5\) has no slice {index} along axis {axis}"):
        read_nifti(save(tmp_path / "a.nii", VOLUME), index, axis)


def test_slice_of_two_dimensions_is_refused(tmp_path, save):
    with pytest.raises(ValueError, match="has no slice 0"):
        read_nifti(save(tmp_path / "a.nii", VOLUME[..., 0]), 0)


def test_four_dimensions_are_refused(tmp_path, save):
    with pytest.raises(ValueError, match=r"a\.nii has the shape \(6, 7, 5, 2\)"):
        read_nifti(save(tmp_path / "a.nii", np.zeros((6, 7, 5, 2), np.float32)))


@pytest.mark.parametrize("dtype", [np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]), np.dtype(np.complex64)])
def test_voxels_that_are_no_real_numbers_are_refused(tmp_path, save, dtype):
    with pytest.raises(ValueError, match=r"a\.nii stores .* voxels"):
        read_nifti(save(tmp_path / "a.nii", np.zeros((3, 4, 5), dtype)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, save, wrong):
    volume = VOLUME.copy()
    volume[1, 2, 3] = wrong
    with pytest.raises(ValueError, match=r"a\.nii holds 1 values that are not finite"):
        read_nifti(save(tmp_path / "a.nii", volume), 0)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_truncated_file_is_named(tmp_path, save, suffix, kept):
    path = save(tmp_path / f"broken{suffix}", np.random.default_rng(0).normal(size=(20, 20, 20)))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"broken{suffix} cannot be read: "):
        read_nifti(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_foreign_content_and_missing_file_are_named(tmp_path, suffix):
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(b"no image" * 100)
    for read in (nifti_shape, read_nifti):
        with pytest.raises(ValueError, match=f"foreign{suffix} cannot be read: "):
            read(path)
        with pytest.raises(FileNotFoundError, match=f"missing{suffix}"):
            read(tmp_path / f"missing{suffix}")
