from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from monai_tunevlseg.data.label_overlay import class_color, contour, draw_overlay


def test_tint_and_contour_lie_on_the_class():
    image = np.full((20, 20, 3), 0.5, np.float32)
    labels = np.zeros((20, 20), np.uint8)
    labels[5:12, 6:14] = 2
    picture = draw_overlay(image, labels, 3)
    assert picture.dtype == np.uint8
    color = np.rint(class_color(1) * 255)
    np.testing.assert_array_equal(picture[labels == 0], 128)
    np.testing.assert_array_equal(picture[5, 6:14], np.tile(color, (8, 1)))
    np.testing.assert_allclose(picture[8, 9], 0.65 * 127.5 + 0.35 * color, atol=1)
    assert (image == 0.5).all()


def test_contour_is_wider_in_large_pictures_and_not_drawn_along_the_border():
    labels = np.zeros((1000, 1000), np.uint8)
    labels[:500] = 1
    picture = draw_overlay(np.zeros((1000, 1000, 3), np.float32), labels, 1)
    drawn = (picture == np.rint(class_color(0) * 255)).all(axis=-1)
    assert np.flatnonzero(drawn.any(axis=1)).tolist() == [496, 497, 498, 499]


def test_colors_of_twenty_classes_differ():
    colors = np.array([class_color(index) for index in range(20)])
    distances = np.abs(colors[:, None] - colors[None]).max(axis=-1) + np.eye(20)
    assert distances.min() > 0.1


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("share", [0.02, 0.9, 0.999])
def test_contour_is_the_area_without_its_erosion(width, share):
    area = np.random.default_rng(0).random((60, 90)) < share
    expected = area & ~binary_erosion(area, iterations=width, border_value=1)
    assert expected.any()
    np.testing.assert_array_equal(contour(area, width), expected)


def test_drawing_leaves_image_and_labels_unchanged():
    image = np.moveaxis(np.random.default_rng(0).random((3, 20, 30), np.float32), 0, -1)
    labels = np.ones((20, 30), np.uint8)
    before = image.copy()
    draw_overlay(image, labels, 1)
    np.testing.assert_array_equal(image, before)
    assert labels.all()
