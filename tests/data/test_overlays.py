from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_tunevlseg.data.overlays import class_colour, draw_overlay, upright


def test_tint_and_contour_are_where_the_class_is():
    image = np.full((20, 20, 3), 0.5, np.float32)
    labels = np.zeros((20, 20), np.uint8)
    labels[5:12, 6:14] = 2
    picture = draw_overlay(image, labels, 3)
    assert picture.dtype == np.uint8
    colour = np.rint(class_colour(1) * 255)
    np.testing.assert_array_equal(picture[labels == 0], 128)
    np.testing.assert_array_equal(picture[5, 6:14], np.tile(colour, (8, 1)))
    np.testing.assert_allclose(picture[8, 9], 0.65 * 127.5 + 0.35 * colour, atol=1)
    assert (image == 0.5).all()


def test_contour_is_wider_in_large_pictures_and_not_drawn_along_the_border():
    labels = np.zeros((1000, 1000), np.uint8)
    labels[:500] = 1
    picture = draw_overlay(np.zeros((1000, 1000, 3), np.float32), labels, 1)
    drawn = (picture == np.rint(class_colour(0) * 255)).all(axis=-1)
    assert np.flatnonzero(drawn.any(axis=1)).tolist() == [496, 497, 498, 499]


def test_colours_of_twenty_classes_differ():
    colours = np.array([class_colour(index) for index in range(20)])
    distances = np.abs(colours[:, None] - colours[None]).max(axis=-1) + np.eye(20)
    assert distances.min() > 0.1


def volume_file(folder, affine):
    path = folder / "volume.nii.gz"
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), None)
    image.set_sform(affine, code=1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAS", "PIR", "SLP", "IRA"])
@pytest.mark.parametrize(
    ("anatomical_axis", "top", "left"), [("S", "A", "R"), ("A", "S", "R"), ("R", "S", "A")], ids=["axial", "cor", "sag"]
)
def test_slices_of_any_storage_order_look_alike(codes, anatomical_axis, top, left, tmp_path):
    # bright towards one side each, in R, A, S order
    world = {name: index for index, name in enumerate("RAS")}
    ramps = np.meshgrid(*[np.linspace(0, 1, 4)] * 3, indexing="ij")
    volume = np.stack(ramps, axis=-1)
    transform = nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), nib.orientations.axcodes2ornt(codes))
    stored = nib.orientations.apply_orientation(volume, transform)
    affine = nib.orientations.inv_ornt_aff(transform, volume.shape[:3])
    assert "".join(nib.aff2axcodes(affine)) == codes
    cut = next(
        axis
        for axis, code in enumerate(codes)
        if code in (anatomical_axis, {"R": "L", "A": "P", "S": "I"}[anatomical_axis])
    )
    picture = upright(stored.take(1, axis=cut), volume_file(tmp_path, affine), cut)
    assert (np.diff(picture[..., world[top]], axis=0) < 0).all()
    assert (np.diff(picture[..., world[left]], axis=1) < 0).all()


def test_affine_without_orientation_leaves_the_picture(tmp_path):
    picture = np.random.default_rng(0).random((3, 4, 3))
    path = volume_file(tmp_path, np.diag([1.0, 0, 0, 1]))
    np.testing.assert_array_equal(upright(picture, path, 0), picture)


def test_a_two_dimensional_nifti_image_is_turned_and_a_picture_is_not():
    picture = np.random.default_rng(0).random((3, 4, 3))
    np.testing.assert_array_equal(upright(picture, Path("a.nii.gz"), None), picture.swapaxes(0, 1))
    np.testing.assert_array_equal(upright(picture, Path("a.png"), None), picture)
