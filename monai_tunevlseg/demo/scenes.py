"""Synthetic scenes of colored shapes with phrases and masks: the training data of the tiny base models.

A scene holds 1-4 colored shapes that may occlude one another, neutral (gray, black, white) shapes that no phrase names,
and a background, mostly of low saturation. The same index and seed give the same scene.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLORS", "SHAPES", "SIZE", "Phrase", "Scene", "draw_phrases", "render_scene"]

SIZE = 96
"""Height and width of a scene in pixels."""

COLORS: dict[str, float] = {"red": 0.0, "yellow": 55.0, "green": 120.0, "cyan": 180.0, "blue": 232.0, "purple": 290.0}
"""Central hue of each color in degrees; the hue of a shape differs by at most 12 degrees."""

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "cross", "ring")

_MIN_VISIBLE = 60
"""A shape with fewer visible pixels counts as hidden: no phrase names it, and its pixels are background."""

Floats = NDArray[np.floating]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Phrase:
    """A phrase that names a color, a shape, both, or, by a noun for no shape in particular, every colored shape."""

    color: str | None = None
    shape: str | None = None
    noun: str = "object"

    def __str__(self) -> str:
        words = [self.color, self.shape or self.noun]
        return " ".join(word for word in words if word)

    def names(self, color: str, shape: str) -> bool:
        """Return whether the phrase names this shape in this color."""
        return self.color in (None, color) and self.shape in (None, shape)


@dataclass(frozen=True)
class Scene:
    """An image with its colored shapes.

    Args:
        image: (3, 96, 96) float32, RGB in [0, 1].
        kinds: color and shape of each visible colored shape, from back to front.
        masks: (n, 96, 96) bool, the visible pixels of each of these shapes.
    """

    image: Floats
    kinds: tuple[tuple[str, str], ...]
    masks: Booleans

    def mask(self, phrase: Phrase) -> Booleans:
        """Return the (96, 96) union of the masks of the named shapes; empty if the phrase names none."""
        named = [phrase.names(*kind) for kind in self.kinds]
        return np.logical_or.reduce(self.masks[named], axis=0)

    def has(self, phrase: Phrase) -> bool:
        """Return whether the phrase names a visible shape."""
        return any(phrase.names(*kind) for kind in self.kinds)


def render_scene(index: int, seed: int = 0) -> Scene:
    """Render a scene; the same index and seed give the same scene.

    Args:
        index: index of the scene, nonnegative.
        seed: random seed, nonnegative.

    Raises:
        ValueError: when the index or the seed is negative.
    """
    if index < 0 or seed < 0:
        raise ValueError(f"render_scene got index {index} and seed {seed}; both must be nonnegative.")
    rng = np.random.default_rng((seed, index))
    image = _background(rng)
    surroundings = image.mean(axis=(1, 2))
    owner = np.full((SIZE, SIZE), -1, np.int8)
    kinds: list[tuple[str, str]] = []
    for neutral in _painting_order(rng):
        shape = SHAPES[rng.integers(len(SHAPES))]
        color = None if neutral else list(COLORS)[rng.integers(len(COLORS))]
        covered = _paint(image, shape, _fill(color, surroundings, rng), rng)
        owner[covered] = -1 if color is None else len(kinds)
        if color is not None:
            kinds.append((color, shape))
    masks = owner[None] == np.arange(len(kinds), dtype=np.int8)[:, None, None]
    visible = masks.sum(axis=(1, 2)) >= _MIN_VISIBLE
    if not visible.any():
        return render_scene(index + (1 << 40), seed)
    shown = tuple(kind for kind, seen in zip(kinds, visible, strict=True) if seen)
    return Scene(_degrade(image, rng), shown, masks[visible])


def draw_phrases(scene: Scene, count: int, rng: np.random.Generator, absent: float = 0.1) -> list[Phrase]:
    """Draw phrases for the shapes in a scene, and some for shapes that are absent.

    Args:
        scene: the scene.
        count: number of phrases; they may repeat.
        rng: random number generator.
        absent: probability in [0, 1] that a phrase names no visible shape (an empty mask).
    """
    return [_absent_phrase(scene, rng) if rng.random() < absent else _present_phrase(scene, rng) for _ in range(count)]


def _present_phrase(scene: Scene, rng: np.random.Generator) -> Phrase:
    color, shape = scene.kinds[rng.integers(len(scene.kinds))]
    chance = rng.random()
    if chance < 0.45:
        return Phrase(color, shape)
    if chance < 0.70:
        return Phrase(color, None)
    return Phrase(None, shape) if chance < 0.92 else Phrase()


def _absent_phrase(scene: Scene, rng: np.random.Generator) -> Phrase:
    """Draw a phrase that names no visible shape; one always exists, because six colors exceed four shapes."""
    while True:
        color = list(COLORS)[rng.integers(len(COLORS))]
        phrase = Phrase(color, SHAPES[rng.integers(len(SHAPES))] if rng.random() < 0.7 else None)
        if not scene.has(phrase):
            return phrase


def _painting_order(rng: np.random.Generator) -> list[bool]:
    """Draw the order of painting, from back to front: True for a neutral shape, False for a colored one."""
    neutral = rng.integers(1, 3) if rng.random() < 0.4 else 0
    order = np.array([False] * int(rng.integers(1, 5)) + [True] * int(neutral))
    rng.shuffle(order)
    return [bool(item) for item in order]


def _fill(color: str | None, surroundings: Floats, rng: np.random.Generator) -> Floats:
    """Draw an RGB fill that stands out from the surroundings; `color` None gives a neutral fill."""
    while True:
        if color is None:
            fill = _rgb(rng.random(), rng.uniform(0.0, 0.1), rng.uniform(0.05, 0.95))
        else:
            hue = (COLORS[color] + rng.uniform(-12, 12)) / 360
            fill = _rgb(hue % 1.0, rng.uniform(0.55, 1.0), rng.uniform(0.5, 1.0))
        if np.abs(fill - surroundings).max() > 0.2:
            return fill


def _rgb(hue: float, saturation: float, value: float) -> Floats:
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def _paint(image: Floats, shape: str, fill: Floats, rng: np.random.Generator) -> tuple[Booleans, ...]:
    """Blend a shape into the image in place.

    Returns:
        row and column indices of the pixels that it covers by at least half.
    """
    radius = rng.uniform(11, 30)
    center = rng.uniform(0.5 * radius, SIZE - 0.5 * radius, 2)
    low = np.maximum(np.floor(center - 1.5 * radius), 0).astype(int)
    high = np.minimum(np.ceil(center + 1.5 * radius), SIZE).astype(int)
    rows = np.arange(low[0], high[0], dtype=np.float32)[:, None] - np.float32(center[0])
    columns = np.arange(low[1], high[1], dtype=np.float32)[None] - np.float32(center[1])
    angle = rng.uniform(0, 2 * np.pi)
    x = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
    y = rows * np.float32(np.cos(angle)) - columns * np.float32(np.sin(angle))
    distance = _distance(shape, x, y / np.float32(rng.uniform(0.75, 1.0)), np.float32(radius))
    alpha = np.clip(0.5 - distance / np.float32(rng.uniform(0.8, 4.0)), 0, 1)
    shade = 1 + np.float32(rng.uniform(-0.2, 0.2)) * x / np.float32(radius)
    window = image[:, low[0] : high[0], low[1] : high[1]]
    window += alpha * (np.clip(fill[:, None, None] * shade, 0, 1) - window)
    inside_rows, inside_columns = np.nonzero(alpha >= 0.5)
    return inside_rows + low[0], inside_columns + low[1]


def _distance(shape: str, x: Floats, y: Floats, radius: np.float32) -> Floats:
    """Return the approximate signed distance in pixels to the outline of a shape; negative inside."""
    if shape == "circle":
        return np.hypot(x, y) - 0.95 * radius
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.78 * radius) - 0.22 * radius
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.8 * radius
    if shape == "triangle":
        slanted = np.abs(x) * np.float32(np.sqrt(0.75)) - 0.5 * y
        return np.maximum(slanted, y) - 0.55 * radius
    long, thin = radius, 0.3 * radius
    bar = np.maximum(np.abs(x) - long, np.abs(y) - thin)
    return np.minimum(bar, np.maximum(np.abs(x) - thin, np.abs(y) - long))


def _background(rng: np.random.Generator) -> Floats:
    """Draw a (3, 96, 96) background: uniform, a gradient, or smooth noise of random grain."""
    hue, saturation = rng.random(), 0.9 if rng.random() < 0.35 else 0.3
    hues = (hue, (hue + rng.uniform(-0.1, 0.1)) % 1.0) if saturation > 0.5 else rng.random(2)
    first, second = (_rgb(h, rng.uniform(0, saturation), rng.uniform(0.05, 0.95)) for h in hues)
    kind = rng.random()
    if kind < 0.2:
        blend: Floats = np.zeros((SIZE, SIZE), np.float32)
    elif kind < 0.45:
        angle, ramp = rng.uniform(0, 2 * np.pi), np.linspace(-0.5, 0.5, SIZE, dtype=np.float32)
        blend = 0.5 + np.float32(np.cos(angle)) * ramp[:, None] + np.float32(np.sin(angle)) * ramp[None]
    else:
        blend = _smooth_noise(int(rng.choice((3, 5, 9, 17))), rng)
    second = first + np.float32(rng.uniform(0.2, 1.0)) * (second - first)
    image = first[:, None, None] + (second - first)[:, None, None] * blend
    return np.clip(image, 0, 1).astype(np.float32)


def _smooth_noise(grain: int, rng: np.random.Generator) -> Floats:
    """Return (96, 96) noise in [0, 1]: `grain` x `grain` random values, bilinearly interpolated."""
    position = np.linspace(0, grain - 1, SIZE, dtype=np.float32)
    weights = np.clip(1 - np.abs(position[:, None] - np.arange(grain, dtype=np.float32)[None]), 0, 1)
    return weights @ rng.random((grain, grain), dtype=np.float32) @ weights.T


def _degrade(image: Floats, rng: np.random.Generator) -> Floats:
    """Blur, darken or brighten, and add noise, each at random; the result lies in [0, 1]."""
    if rng.random() < 0.3:
        kernel = _blur_matrix(rng.uniform(0.5, 1.2))
        image = kernel @ image @ kernel.T
    if rng.random() < 0.5:
        image = image * np.float32(rng.uniform(0.6, 1.15))
    if rng.random() < 0.35:
        speckle = rng.standard_normal((SIZE, SIZE), dtype=np.float32) * np.float32(rng.uniform(0.03, 0.2))
        image = image * (1 + speckle)
    if rng.random() < 0.35:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.01, 0.06))
    return np.clip(image, 0, 1)


def _blur_matrix(sigma: float) -> Floats:
    """Return the (96, 96) matrix that blurs one axis with a Gaussian; `sigma` is in pixels."""
    offsets = np.arange(SIZE, dtype=np.float32)
    kernel = np.exp(-0.5 * ((offsets[:, None] - offsets[None]) / np.float32(sigma)) ** 2)
    return kernel / kernel.sum(axis=1, keepdims=True)
