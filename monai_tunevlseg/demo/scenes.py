"""Synthetic scenes of shapes with phrases and masks: the training data of the tiny base models.

A scene holds one to three things, which may occlude one another, and a background, mostly of low saturation. A thing
is a geometric shape, an irregular blob, or a piece of tissue: a core in a closed or open shell, often with a satellite
beside it. Each shape has a color or, if it is gray, a tone; most shapes of one thing are alike in this. Some
scenes are gray as a whole, speckled, and at times seen through a sector. The same index and seed give the same scene.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COLORS",
    "FILLS",
    "FORMS",
    "PARTS",
    "SHAPES",
    "SIZE",
    "TONES",
    "Phrase",
    "Scene",
    "render_scene",
    "stack_masks",
]

SIZE = 96
"""Height and width of a scene in pixels."""

COLORS: dict[str, float] = {"red": 0.0, "yellow": 55.0, "green": 120.0, "cyan": 180.0, "blue": 232.0, "purple": 290.0}
"""Central hue of each color in degrees; the hue of a shape differs by at most 12 degrees."""

TONES: tuple[str, ...] = ("dark", "bright")
"""Grays that are darker and brighter than the background."""

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "cross", "ring")

PARTS: tuple[str, ...] = ("blob", "core", "shell", "satellite")
"""Irregular shapes: a blob is alone, the others are parts of a piece of tissue."""

FILLS: tuple[str, ...] = (*COLORS, *TONES)

FORMS: tuple[str, ...] = (*SHAPES, *PARTS)

_MIN_VISIBLE = 60
"""Least number of pixels of a shape that are visible."""

_MIN_SHARE = 0.6
"""Least share of a shape that other things leave visible, so that its form can be told."""

_GRAY_SCENES = 0.3
"""Fraction of the scenes that are gray as a whole."""

_GRAY_THINGS = (0.25, 0.9)
"""Fraction of the things whose shapes are nearly all gray, in colored and in gray scenes."""

_EXCEPTIONS = 0.05
"""Fraction of the shapes that are gray in a colored thing, or colored in a gray one."""

Floats = NDArray[np.floating]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Phrase:
    """A text, and the shapes that it names.

    Args:
        text: the text.
        kind: a key of `phrases.PHRASE_KINDS`.
        colors: colors and tones of the named shapes.
        shapes: their forms, of `SHAPES` and `PARTS`.
    """

    text: str
    kind: str
    colors: frozenset[str]
    shapes: frozenset[str]

    def __str__(self) -> str:
        return self.text

    def names(self, color: str, shape: str) -> bool:
        """Return whether the phrase names this shape in this color or tone."""
        return color in self.colors and shape in self.shapes


@dataclass(frozen=True)
class Scene:
    """An image with its shapes.

    Args:
        image: (3, 96, 96) float32, RGB in [0, 1].
        kinds: color or tone, and form, of each shape, from back to front.
        masks: (n, 96, 96) bool, the visible pixels of each shape.
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
    """Render a scene in which no shape is mostly hidden; the same index and seed give the same scene.

    Args:
        index: index of the scene, nonnegative.
        seed: random seed, nonnegative.

    Raises:
        ValueError: when the index or the seed is negative.
    """
    if index < 0 or seed < 0:
        raise ValueError(f"render_scene got index {index} and seed {seed}; both must be nonnegative.")
    rng = np.random.default_rng((seed, index))
    gray_scene = rng.random() < _GRAY_SCENES
    image = _background(gray_scene, rng)
    surroundings = image.mean(axis=(1, 2))
    owner = np.full((SIZE, SIZE), -1, np.int8)
    kinds: list[tuple[str, str]] = []
    areas: list[int] = []
    for _ in range(rng.integers(1, 4)):
        shapes = _draw_thing(rng)
        pose = _Pose.draw(rng, smallest=17 if len(shapes) > 1 else 12)
        gray = 1 - _EXCEPTIONS if rng.random() < _GRAY_THINGS[gray_scene] else _EXCEPTIONS
        below = surroundings
        for shape in shapes:
            color, fill = _fill(surroundings, below, gray, rng)
            owner[_paint(image, shape, pose, fill, rng)] = len(kinds)
            kinds.append((color, shape))
            below = fill
        areas += [int((owner == number).sum()) for number in range(len(areas), len(kinds))]
    if gray_scene and rng.random() < 0.5:
        outside = ~_sector(rng)
        image[:, outside] = 0
        owner[outside] = -1
    masks = owner[None] == np.arange(len(kinds), dtype=np.int8)[:, None, None]
    if (masks.sum(axis=(1, 2)) < np.maximum(_MIN_VISIBLE, _MIN_SHARE * np.array(areas))).any():
        return render_scene(index + (1 << 40), seed)
    return Scene(_degrade(image, gray_scene, rng), tuple(kinds), masks)


def stack_masks(scenes: list[Scene], phrases: list[list[Phrase]]) -> Booleans:
    """Stack the masks of the k phrases of each of B scenes, (B, k, 96, 96)."""
    rows = [[scene.mask(phrase) for phrase in row] for scene, row in zip(scenes, phrases, strict=True)]
    return np.array(rows)


@dataclass(frozen=True)
class _Pose:
    """Place and form of a thing: its shapes share one.

    Args:
        center: row and column in pixels.
        radius: in pixels.
        angle: rotation in radians.
        squash: height divided by width, before the rotation.
        waves: amplitude, as a share of the radius, and phase of the outline's waves with 2, 3 and 5 periods, (3, 2).
        core: radius of the core as a share of the radius.
        opening: distance of the shell's open end from the center, as a share of the radius; above 1: closed.
        satellite: radius of the satellite, and its distance from the open end, as shares of the radius.
    """

    center: Floats
    radius: np.float32
    angle: float
    squash: np.float32
    waves: Floats
    core: float
    opening: float
    satellite: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, smallest: float) -> _Pose:
        radius = rng.uniform(smallest, 30)
        waves = np.stack([rng.uniform(-0.08, 0.08, 3), rng.uniform(0, 2 * np.pi, 3)], axis=1)
        return cls(
            center=rng.uniform(0.5 * radius, SIZE - 0.5 * radius, 2),
            radius=np.float32(radius),
            angle=rng.uniform(0, 2 * np.pi),
            squash=np.float32(rng.uniform(0.55, 1.0)),
            waves=waves.astype(np.float32),
            core=rng.uniform(0.6, 0.8),
            opening=rng.uniform(0.4, 0.7) if rng.random() < 0.5 else 2.0,
            satellite=(size := rng.uniform(0.35, 0.6), size * rng.uniform(0.7, 1.3)),
        )


def _draw_thing(rng: np.random.Generator) -> tuple[str, ...]:
    """Draw the shapes of a thing, from back to front."""
    chance = rng.random()
    if chance < 0.5:
        return (SHAPES[rng.integers(len(SHAPES))],)
    if chance < 0.65:
        return ("blob",)
    return ("satellite", "shell", "core") if chance < 0.9 else ("shell", "core")


def _fill(surroundings: Floats, below: Floats, gray: float, rng: np.random.Generator) -> tuple[str, Floats]:
    """Draw a color or tone, which it is with probability `gray`, and an RGB fill of it.

    The fill stands out from the surroundings and from what lies below.
    """
    while True:
        if rng.random() < gray:
            fill = _rgb(rng.random(), rng.uniform(0.0, 0.1), rng.uniform(0.05, 0.95))
            name = TONES[int(fill.mean() > surroundings.mean())]
        else:
            name = list(COLORS)[rng.integers(len(COLORS))]
            hue = (COLORS[name] + rng.uniform(-12, 12)) / 360
            fill = _rgb(hue % 1.0, rng.uniform(0.55, 1.0), rng.uniform(0.5, 1.0))
        if min(np.abs(fill - surroundings).max(), np.abs(fill - below).max()) > 0.18:
            return name, fill


def _rgb(hue: float, saturation: float, value: float) -> Floats:
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def _paint(image: Floats, shape: str, pose: _Pose, fill: Floats, rng: np.random.Generator) -> tuple[Booleans, ...]:
    """Blend a shape into the image in place.

    Returns:
        row and column indices of the pixels that it covers by at least half.
    """
    reach = (2.2 if shape == "satellite" else 1.5) * pose.radius
    low = np.maximum(np.floor(pose.center - reach), 0).astype(int)
    high = np.minimum(np.ceil(pose.center + reach), SIZE).astype(int)
    rows = np.arange(low[0], high[0], dtype=np.float32)[:, None] - np.float32(pose.center[0])
    columns = np.arange(low[1], high[1], dtype=np.float32)[None] - np.float32(pose.center[1])
    x = columns * np.float32(np.cos(pose.angle)) + rows * np.float32(np.sin(pose.angle))
    y = rows * np.float32(np.cos(pose.angle)) - columns * np.float32(np.sin(pose.angle))
    distance = _distance(shape, x, y, pose) if shape in PARTS else _geometric_distance(shape, x, y / pose.squash, pose)
    alpha = np.clip(0.5 - distance / np.float32(rng.uniform(0.8, 4.0)), 0, 1)
    shade = 1 + np.float32(rng.uniform(-0.2, 0.2)) * x / pose.radius
    window = image[:, low[0] : high[0], low[1] : high[1]]
    window += alpha * (np.clip(fill[:, None, None] * shade, 0, 1) - window)
    inside_rows, inside_columns = np.nonzero(alpha >= 0.5)
    return inside_rows + low[0], inside_columns + low[1]


def _distance(part: str, x: Floats, y: Floats, pose: _Pose) -> Floats:
    """Return the approximate signed distance in pixels to the outline of a part; negative inside."""
    radius = pose.radius
    if part == "satellite":
        y = y + radius * np.float32(min(pose.opening, 1.0) + pose.satellite[1])
        radius = radius * np.float32(pose.satellite[0])
        x, y = x * pose.squash, y
    if part == "core":
        radius = radius * np.float32(pose.core)
    turn = np.arctan2(y, x)
    outline = 1 + sum(size * np.cos(k * turn + phase) for k, (size, phase) in zip((2, 3, 5), pose.waves, strict=True))
    distance = np.hypot(x / pose.squash, y) - radius * outline
    return np.maximum(distance, -y - pose.radius * np.float32(pose.opening)) if part == "shell" else distance


def _geometric_distance(shape: str, x: Floats, y: Floats, pose: _Pose) -> Floats:
    """Return the approximate signed distance in pixels to the outline of a geometric shape; negative inside."""
    radius = pose.radius
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


def _sector(rng: np.random.Generator) -> Booleans:
    """Draw the (96, 96) sector of a fan-shaped probe, whose apex is above the image's center."""
    y = np.arange(SIZE)[:, None] - rng.uniform(-20, 5)
    x = np.arange(SIZE)[None] - SIZE / 2 - rng.uniform(-8, 8)
    return (np.abs(np.arctan2(x, y)) < rng.uniform(0.5, 0.9)) & (np.hypot(x, y) < rng.uniform(85, 110))


def _background(gray: bool, rng: np.random.Generator) -> Floats:
    """Draw a (3, 96, 96) background: uniform, a gradient, or smooth noise of random grain."""
    hue, saturation = rng.random(), 0.05 if gray else 0.9 if rng.random() < 0.35 else 0.3
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


def _degrade(image: Floats, gray: bool, rng: np.random.Generator) -> Floats:
    """Blur, darken or brighten, and add noise, each at random; a gray scene is speckled. The result lies in [0, 1]."""
    if rng.random() < 0.3:
        kernel = _blur_matrix(rng.uniform(0.5, 1.2))
        image = kernel @ image @ kernel.T
    if rng.random() < 0.5:
        image = image * np.float32(rng.uniform(0.6, 1.15))
    if gray or rng.random() < 0.25:
        speckle = rng.standard_normal((SIZE, SIZE), dtype=np.float32) * np.float32(rng.uniform(0.03, 0.4))
        image = image * (1 + speckle)
    if rng.random() < 0.35:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.01, 0.06))
    return np.clip(image, 0, 1)


def _blur_matrix(sigma: float) -> Floats:
    """Return the (96, 96) matrix that blurs one axis with a Gaussian; `sigma` is in pixels."""
    offsets = np.arange(SIZE, dtype=np.float32)
    kernel = np.exp(-0.5 * ((offsets[:, None] - offsets[None]) / np.float32(sigma)) ** 2)
    return kernel / kernel.sum(axis=1, keepdims=True)
