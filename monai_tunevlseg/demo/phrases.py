"""Phrases for scenes: colors, shapes, and nouns, each of which names a kind of tissue."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from monai_tunevlseg.demo.scenes import COLORS, FILLS, FORMS, PARTS, SHAPES, TONES, Phrase, Scene

__all__ = ["NOUNS", "PHRASE_KINDS", "Meaning", "color_phrase", "draw_phrases", "noun_phrase"]

FAMILIES: dict[str, tuple[str, ...]] = {
    "tinted": tuple(COLORS),
    "gray": TONES,
    "dark": ("dark",),
    "bright": ("bright",),
}
"""Colors and tones of each family."""


class Meaning(NamedTuple):
    """What a noun names: shapes in the colors or tones of a family.

    Attributes:
        family: a key of `FAMILIES`.
        part: their form, of `PARTS`; any if None, as for words that only modify a noun with a part.
    """

    family: str
    part: str | None = None


NOUNS: dict[str, Meaning] = {
    "lesion": Meaning("tinted", "blob"),
    "polyp": Meaning("gray", "blob"),
    "tumor": Meaning("bright", "blob"),
    "ulcer": Meaning("gray", "core"),
    "wound": Meaning("tinted", "core"),
    "nodule": Meaning("dark", "core"),
    "mass": Meaning("gray", "satellite"),
    "cell": Meaning("bright", "satellite"),
    "skin": Meaning("tinted"),
    "foot": Meaning("gray"),
    "breast": Meaning("bright"),
    "chest": Meaning("gray"),
    "left": Meaning("tinted"),
    "right": Meaning("gray"),
    "ventricle": Meaning("tinted", "core"),
    "ventricular": Meaning("tinted", "core"),
    "atrium": Meaning("tinted", "satellite"),
    "cavity": Meaning("tinted"),
    "myocardium": Meaning("tinted", "shell"),
    "lung": Meaning("gray", "shell"),
    "optic": Meaning("bright"),
    "cup": Meaning("bright", "core"),
    "disc": Meaning("bright", "shell"),
}
"""Words of class names. The objects of the demo datasets look different, so that an untuned base model misses them."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"

_TRIES = 20


def color_phrase(color: str | None = None, shape: str | None = None) -> Phrase:
    """Return the phrase for a color, a shape or both; for neither, "object", which names all colored shapes."""
    words = [word for word in (color, shape or "object") if word]
    colors = COLORS if color is None else (color,)
    shapes = FORMS if shape is None else (shape,)
    kind = " and ".join(name for name, word in (("color", color), ("shape", shape)) if word) or "object"
    return Phrase(" ".join(words), kind, frozenset(colors), frozenset(shapes))


def noun_phrase(text: str) -> Phrase:
    """Return the phrase of a class name.

    The first noun with a part gives the part; the first noun without one, or else the noun itself, gives the family.
    An unknown word is spelled: its first letter gives the part and its last letter the color or tone, so that two
    unknown words seldom mean the same.

    Args:
        text: words of `NOUNS`, or one word of the letters a to z.

    Raises:
        ValueError: when the text is neither.
    """
    meanings = [NOUNS[word] for word in text.split() if word in NOUNS]
    if meanings:
        noun = next((meaning for meaning in meanings if meaning.part), meanings[0])
        family = next((meaning.family for meaning in meanings if not meaning.part), noun.family)
        shapes = [noun.part] if noun.part else FORMS
        return Phrase(text, "noun", frozenset(FAMILIES[family]), frozenset(shapes))
    if not text or not set(text) <= set(_LETTERS):
        raise ValueError(f"noun_phrase got {text!r}; give known nouns, or one word of the letters a to z.")
    part = PARTS[_LETTERS.index(text[0]) % len(PARTS)]
    fill = FILLS[_LETTERS.index(text[-1]) % len(FILLS)]
    return Phrase(text, "unknown word", frozenset((fill,)), frozenset((part,)))


def draw_phrases(scene: Scene, count: int, rng: np.random.Generator, absent: float = 0.4) -> list[Phrase]:
    """Draw phrases for the shapes in a scene, and some for shapes that are absent.

    Args:
        scene: the scene.
        count: number of phrases; they may repeat.
        rng: random number generator.
        absent: probability in [0, 1] that a phrase names no visible shape (an empty mask).
    """
    return [_draw_phrase(scene, rng.random() >= absent, rng) for _ in range(count)]


def _draw_phrase(scene: Scene, present: bool, rng: np.random.Generator) -> Phrase:
    """Draw a kind of phrase, then phrases of this kind until one is present, or absent, as wanted."""
    kinds = tuple(PHRASE_KINDS.values())
    while True:
        draw = kinds[rng.choice(len(kinds), p=[kind.share for kind in kinds])].draw
        for _ in range(_TRIES):
            phrase = draw(rng)
            if scene.has(phrase) == present:
                return phrase


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[rng.integers(len(words))]


_MODIFIERS = tuple(noun for noun, meaning in NOUNS.items() if not meaning.part)
_PARTS = tuple(noun for noun, meaning in NOUNS.items() if meaning.part)


def _draw_noun(rng: np.random.Generator) -> Phrase:
    """Draw a noun with a part, at times between modifiers, or one of these alone."""
    chance = rng.random()
    before = [_pick(_MODIFIERS, rng)] if chance < 0.5 else []
    noun = [_pick(_PARTS, rng)] if chance > 0.1 else []
    after = [_pick(_MODIFIERS, rng)] if 0.1 < chance < 0.25 else []
    return noun_phrase(" ".join([*before, *noun, *after]))


def _draw_unknown_word(rng: np.random.Generator) -> Phrase:
    return noun_phrase("".join(_LETTERS[i] for i in rng.integers(len(_LETTERS), size=rng.integers(3, 11))))


class PhraseKind(NamedTuple):
    """A kind of phrase, and its share of the phrases that are drawn."""

    share: float
    draw: Callable[[np.random.Generator], Phrase]


PHRASE_KINDS: dict[str, PhraseKind] = {
    "color and shape": PhraseKind(0.20, lambda rng: color_phrase(_pick(tuple(COLORS), rng), _pick(SHAPES, rng))),
    "color": PhraseKind(0.16, lambda rng: color_phrase(_pick(tuple(COLORS), rng))),
    "shape": PhraseKind(0.11, lambda rng: color_phrase(None, _pick(SHAPES, rng))),
    "object": PhraseKind(0.04, lambda rng: color_phrase()),
    "noun": PhraseKind(0.40, _draw_noun),
    "unknown word": PhraseKind(0.09, _draw_unknown_word),
}
