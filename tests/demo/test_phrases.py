from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS
from monai_tunevlseg.demo.phrases import NOUNS, PHRASE_KINDS, color_phrase, draw_phrases, noun_phrase
from monai_tunevlseg.demo.scenes import COLORS, PARTS, SHAPES, TONES, render_scene

ALL_SHAPES = {*SHAPES, *PARTS}


@pytest.mark.parametrize(
    ("phrase", "text", "colors", "shapes"),
    [
        (color_phrase("red", "circle"), "red circle", {"red"}, {"circle"}),
        (color_phrase("blue"), "blue object", {"blue"}, ALL_SHAPES),
        (color_phrase(None, "ring"), "ring", {*COLORS}, {"ring"}),
        (color_phrase(), "object", {*COLORS}, ALL_SHAPES),
        (noun_phrase("polyp"), "polyp", {*TONES}, {"blob"}),
        (noun_phrase("skin"), "skin", {*COLORS}, ALL_SHAPES),
        (noun_phrase("lung"), "lung", {*TONES}, {"shell"}),
        (noun_phrase("right wound"), "right wound", {*TONES}, {"core"}),
        (noun_phrase("left ventricular cavity"), "left ventricular cavity", {*COLORS}, {"core"}),
        (noun_phrase("left atrium cavity"), "left atrium cavity", {*COLORS}, {"satellite"}),
        (noun_phrase("right atrium"), "right atrium", {*TONES}, {"satellite"}),
        (noun_phrase("cup"), "cup", {"bright"}, {"core"}),
        (noun_phrase("crack"), "crack", {"green"}, {"shell"}),  # third and eleventh letter: third of 4 and 8
        (noun_phrase("zebra"), "zebra", {"red"}, {"core"}),
    ],
)
def test_text_and_meaning_of_a_phrase(phrase, text, colors, shapes):
    assert (str(phrase), phrase.colors, phrase.shapes) == (text, colors, shapes)


def test_the_classes_of_a_demo_dataset_mean_different_things():
    for dataset in map(DEMO_DATASETS.__getitem__, DEMO_DATASETS):
        meanings = [noun_phrase(name) for name in dataset.class_names]
        assert len({(phrase.colors, phrase.shapes) for phrase in meanings}) == len(meanings)


def test_unknown_words_mean_every_part_in_every_color_and_tone():
    letters = "abcdefghijklmnopqrstuvwxyz"
    meanings = {
        (*noun_phrase(first + last).shapes, *noun_phrase(first + last).colors) for first in letters for last in letters
    }
    assert meanings == {(part, fill) for part in PARTS for fill in (*COLORS, *TONES)}


@pytest.mark.parametrize("text", ["", "Crack", "two words", "mass3x"])
def test_a_text_without_meaning_is_refused(text):
    with pytest.raises(ValueError, match=repr(text)):
        noun_phrase(text)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 1000))
def test_drawn_phrases_are_present_or_absent_on_request(index, seed):
    scene = render_scene(index)
    assert all(scene.mask(phrase).any() for phrase in draw_phrases(scene, 5, np.random.default_rng(seed), absent=0.0))
    assert not any(
        scene.mask(phrase).any() for phrase in draw_phrases(scene, 5, np.random.default_rng(seed), absent=1.0)
    )


def test_drawn_phrases_have_every_kind_and_every_noun():
    rng = np.random.default_rng(0)
    phrases = [phrase for index in range(150) for phrase in draw_phrases(render_scene(index), 8, rng)]
    kinds = Counter(phrase.kind for phrase in phrases)
    assert set(kinds) == set(PHRASE_KINDS) and min(kinds.values()) >= 20
    words = {word for phrase in phrases if phrase.kind == "noun" for word in str(phrase).split()}
    assert words == set(NOUNS)
    assert sum(kind.share for kind in PHRASE_KINDS.values()) == pytest.approx(1)
