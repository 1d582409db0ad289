from __future__ import annotations

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


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAS", "PIR", "SLP", "IRA"])
@pytest.mark.parametrize(
    ("anatomical_axis", "top", "left"), [("S", "A", "R"), ("A", "S", "R"), ("R", "S", "A")], ids=["axial", "cor", "sag"]
)
def test_slices_of_any_storage_order_look_alike(codes, anatomical_axis, top, left):
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
    picture = upright(stored.take(1, axis=cut), affine, cut)
    assert (np.diff(picture[..., world[top]], axis=0) < 0).all()
    assert (np.diff(picture[..., world[left]], axis=1) < 0).all()


def test_affine_without_orientation_leaves_the_picture():
    picture = np.random.default_rng(0).random((3, 4, 3))
    np.testing.assert_array_equal(upright(picture, np.diag([1.0, 0, 0, 1]), 0), picture)
