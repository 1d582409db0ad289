import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_fill_holes

from monai_tunevlseg.demo.scenes import COLORS, PARTS, SHAPES, SIZE, TONES, Phrase, render_scene, stack_masks

scene_numbers = st.integers(0, 10**6)


def phrase(colors, shapes) -> Phrase:
    return Phrase("", "noun", frozenset(colors), frozenset(shapes))


def test_only_the_same_index_and_seed_give_the_same_scene():
    first, again, other, reseeded = render_scene(7, 3), render_scene(7, 3), render_scene(8, 3), render_scene(7, 4)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.masks, again.masks)
    assert first.kinds == again.kinds
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.image, reseeded.image)


@settings(max_examples=40, deadline=None)
@given(scene_numbers)
def test_scene_is_a_picture_with_disjoint_visible_shapes(index):
    scene = render_scene(index)
    assert scene.image.shape == (3, SIZE, SIZE)
    assert scene.image.dtype == np.float32
    assert scene.image.min() >= 0 and scene.image.max() <= 1
    assert 1 <= len(scene.kinds) == len(scene.masks) <= 9
    assert scene.masks.sum(axis=0).max() == 1  # an occluder takes the pixels
    assert scene.masks.sum(axis=(1, 2)).min() >= 60


@settings(max_examples=40, deadline=None)
@given(scene_numbers)
def test_mask_of_a_phrase_is_the_union_of_the_named_shapes(index):
    scene = render_scene(index)
    for (color, shape), mask in zip(scene.kinds, scene.masks, strict=True):
        assert (mask <= scene.mask(phrase([color], [shape]))).all()
    fills, shapes = (*COLORS, *TONES), (*SHAPES, *PARTS)
    by_fill = np.array([scene.mask(phrase([fill], shapes)) for fill in fills])
    by_shape = np.array([scene.mask(phrase(fills, [shape])) for shape in shapes])
    assert np.array_equal(by_fill.any(axis=0), scene.masks.any(axis=0))
    assert np.array_equal(by_shape.any(axis=0), scene.masks.any(axis=0))
    assert scene.has(phrase(fills, shapes)) and not scene.has(phrase(fills, []))


def test_colors_and_tones_of_the_pixels_are_those_of_the_kinds():
    """Red pixels have more red than blue, and vice versa; the mean holds under noise and darkening."""
    for name, high, low in (("red", 0, 2), ("blue", 2, 0), ("green", 1, 0)):
        asked = phrase([name], (*SHAPES, *PARTS))
        scene = next(s for s in map(render_scene, range(200)) if s.has(asked))
        pixels = scene.image[:, scene.mask(asked)].mean(axis=1)
        assert pixels[high] > pixels[low] + 0.1
    for tone, sign in (("dark", -1), ("bright", 1)):
        asked = phrase([tone], (*SHAPES, *PARTS))
        scenes = [s for s in map(render_scene, range(200)) if {fill for fill, *_ in s.kinds} == {tone}]
        assert scenes
        for scene in scenes:
            inside = scene.mask(asked)
            assert sign * (scene.image[:, inside].mean() - scene.image[:, ~inside].mean()) > 0.03


def test_a_core_lies_in_its_shell_and_a_satellite_beside_it():
    """Measured on scenes of one whole piece of tissue, away from the borders."""
    tissue = ("satellite", "shell", "core")
    scenes = [s for s in map(render_scene, range(1500)) if tuple(shape for _, shape in s.kinds) == tissue]
    scenes = [s for s in scenes if not s.masks.any(axis=0)[[0, -1]].any()]
    assert len(scenes) >= 5
    closed = 0
    for scene in scenes:
        satellite, shell, core = scene.masks
        assert (binary_dilation(core) & shell).sum() > 0.4 * (binary_dilation(core) & ~core).sum()
        assert (binary_dilation(satellite, iterations=7) & (shell | core)).any()
        closed += bool((core <= binary_fill_holes(shell)).all())
    assert 0 < closed < len(scenes)


def test_stacked_masks_are_those_of_each_scene_and_phrase():
    scenes = [render_scene(0), render_scene(1)]
    phrases = [[phrase(COLORS, SHAPES), phrase(TONES, PARTS)], [phrase(TONES, SHAPES), phrase(COLORS, PARTS)]]
    masks = stack_masks(scenes, phrases)
    assert masks.shape == (2, 2, SIZE, SIZE)
    assert all(np.array_equal(masks[b, k], scenes[b].mask(phrases[b][k])) for b in range(2) for k in range(2))


@pytest.mark.parametrize(("index", "seed"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(index, seed):
    with pytest.raises(ValueError, match=f"index {index} and seed {seed}"):
        render_scene(index, seed)
