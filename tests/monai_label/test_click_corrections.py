"""Corrections of label maps by clicks and boxes."""

from __future__ import annotations

import numpy as np
import pytest

from monai_tunevlseg.monai_label.click_corrections import filter_components

LABELS = np.array(
    [
        [1, 1, 0, 0, 2],
        [0, 0, 0, 0, 2],
        [0, 0, 1, 0, 0],
        [1, 0, 0, 1, 0],
    ],
    np.uint8,
)


def test_without_clicks_and_box_nothing_changes():
    np.testing.assert_array_equal(filter_components(LABELS), LABELS)


def test_a_positive_click_keeps_its_component_and_no_other():
    kept = filter_components(LABELS, foreground=[(0, 1)])
    np.testing.assert_array_equal(np.argwhere(kept), [[0, 0], [0, 1]])


def test_components_are_connected_diagonally():
    kept = filter_components(LABELS, foreground=[(2, 2)])
    np.testing.assert_array_equal(np.argwhere(kept), [[2, 2], [3, 3]])


def test_a_negative_click_drops_its_component_and_no_other():
    kept = filter_components(LABELS, background=[(1, 4)])
    np.testing.assert_array_equal(kept, np.where(LABELS == 2, 0, LABELS))


def test_clicks_keep_components_of_several_labels():
    kept = filter_components(LABELS, foreground=[(0, 4), (3, 0)])
    assert set(np.unique(kept)) == {0, 1, 2}
    assert (kept > 0).sum() == 3


def test_a_click_beside_everything_keeps_nothing():
    assert not filter_components(LABELS, foreground=[(1, 1)]).any()


def test_a_negative_click_beside_everything_drops_nothing():
    np.testing.assert_array_equal(filter_components(LABELS, background=[(1, 1)]), LABELS)


def test_the_box_is_cut_before_components_are_found():
    kept = filter_components(LABELS, foreground=[(2, 2)], roi=[(0, 3), (0, 5)])
    np.testing.assert_array_equal(np.argwhere(kept), [[2, 2]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_volumes_are_connected_along_every_axis(axis):
    line = np.zeros((4, 4, 4), np.uint8)
    line[(0,) * axis + (slice(None),) + (0,) * (2 - axis)] = 3
    line[3, 3, 3] = 3
    assert filter_components(line, foreground=[(0, 0, 0)]).sum() == 12
