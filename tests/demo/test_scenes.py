import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.demo.scenes import COLORS, SHAPES, SIZE, Phrase, draw_phrases, render_scene

scene_numbers = st.integers(0, 10**6)


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
    assert 1 <= len(scene.kinds) == len(scene.masks) <= 4
    assert scene.masks.sum(axis=0).max() == 1  # an occluder takes the pixels
    assert scene.masks.sum(axis=(1, 2)).min() >= 60


@settings(max_examples=40, deadline=None)
@given(scene_numbers)
def test_mask_of_a_phrase_is_the_union_of_the_named_shapes(index):
    scene = render_scene(index)
    for (color, shape), mask in zip(scene.kinds, scene.masks, strict=True):
        for phrase in (Phrase(color, shape), Phrase(color), Phrase(None, shape), Phrase()):
            assert (mask <= scene.mask(phrase)).all()
    by_color = np.array([scene.mask(Phrase(color)) for color in COLORS])
    by_shape = np.array([scene.mask(Phrase(None, shape)) for shape in SHAPES])
    assert np.array_equal(by_color.any(axis=0), scene.mask(Phrase()))
    assert np.array_equal(by_shape.any(axis=0), scene.mask(Phrase()))


def test_colors_of_the_pixels_match_the_phrase():
    """Red pixels have more red than blue, and vice versa; the mean holds under noise and darkening."""
    for name, high, low in (("red", 0, 2), ("blue", 2, 0), ("green", 1, 0)):
        scene = next(s for s in map(render_scene, range(200)) if s.has(Phrase(name)))
        pixels = scene.image[:, scene.mask(Phrase(name))].mean(axis=1)
        assert pixels[high] > pixels[low] + 0.1


@settings(max_examples=30, deadline=None)
@given(scene_numbers, st.integers(0, 1000))
def test_drawn_phrases_are_present_or_absent_on_request(index, seed):
    scene = render_scene(index)
    assert all(scene.mask(phrase).any() for phrase in draw_phrases(scene, 5, np.random.default_rng(seed), absent=0.0))
    assert not any(
        scene.mask(phrase).any() for phrase in draw_phrases(scene, 5, np.random.default_rng(seed), absent=1.0)
    )


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        (Phrase("red", "circle"), "red circle"),
        (Phrase("blue"), "blue object"),
        (Phrase(None, "ring"), "ring"),
        (Phrase(), "object"),
    ],
)
def test_text_of_a_phrase(phrase, text):
    assert str(phrase) == text


@pytest.mark.parametrize(("index", "seed"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(index, seed):
    with pytest.raises(ValueError, match=f"index {index} and seed {seed}"):
        render_scene(index, seed)
