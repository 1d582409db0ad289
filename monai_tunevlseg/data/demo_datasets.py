"""Synthetic demo datasets, shifted in domain from the scenes that the tiny base models were trained on.

They are written as ordinary folders, `images/`, `masks/` and `splits.json`, and pass through the same code as real
data.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_tunevlseg.registry import Registry

__all__ = ["DEMO_DATASETS", "DemoDataset", "write_demo_dataset"]

Floats = NDArray[np.floating]
Labels = NDArray[np.uint8]
DrawScene = Callable[[np.random.Generator], tuple[Floats, Labels]]

_SHARES = (0.75, 0.125)
"""Shares of the train and the val split; the rest is the test split."""

_ECHO_AFFINE = np.array([[-0.5, 0, 0, 30], [0, -0.5, 0, 45], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
"""Voxel to world, in mm: pixels of 0.5 mm, both axes reversed, origin shifted."""


@dataclass(frozen=True)
class DemoDataset:
    """A kind of synthetic pictures.

    Args:
        draw: draws one picture: image, (H, W) or (H, W, 3) float32 in [0, 1], and label map, (H, W) uint8.
        class_names: the classes of label values 1, 2 and so on.
        suffix: the suffix of the files; with one class, a PNG mask is 0/255; a NIfTI mask holds the label values.
    """

    draw: DrawScene
    class_names: tuple[str, ...]
    suffix: str = ".png"


def write_demo_dataset(name: str, output_dir: str | Path, seed: int = 0, num_images: int = 320) -> Path:
    """Write a demo dataset as a folder; equal arguments write equal pictures.

    Args:
        name: one of `DEMO_DATASETS`: ultrasound, endoscopy, echo.
        output_dir: the folder of `images/`, `masks/` and `splits.json`; created if missing.
        seed: random seed of the pictures, 0 or more.
        num_images: number of images, 3 or more: 75 % are in the train split, and half of the rest in val and test each.

    Returns:
        `output_dir`.

    Raises:
        ValueError: when the name is unknown, the seed is negative or there are fewer than 3 images.
        FileExistsError: when the folder already holds images.
    """
    dataset = DEMO_DATASETS[name]
    if seed < 0 or num_images < 3:
        raise ValueError(f"seed must be 0 or more and num_images 3 or more, not {seed} and {num_images}.")
    folder = Path(output_dir)
    images, masks = folder / "images", folder / "masks"
    if images.is_dir() and any(images.iterdir()):
        raise FileExistsError(f"{images} already holds files; give another output_dir or remove them.")
    for made in (images, masks):
        made.mkdir(parents=True, exist_ok=True)
    stems = [f"{name}_{index:04d}" for index in range(num_images)]
    for index, stem in enumerate(stems):
        image, labels = dataset.draw(np.random.default_rng((seed, index)))
        _write(images / (stem + dataset.suffix), np.round(np.clip(image, 0, 1) * 255).astype(np.uint8))
        binary = len(dataset.class_names) == 1 and dataset.suffix == ".png"
        _write(masks / (stem + dataset.suffix), labels * np.uint8(255) if binary else labels)
    (folder / "splits.json").write_text(json.dumps(_splits(stems), indent=2) + "\n")
    return folder


def _splits(stems: list[str]) -> dict[str, list[str]]:
    """Cut the stems into train, val and test; val and test get at least one."""
    val = max(1, round(len(stems) * _SHARES[1]))
    train = len(stems) - 2 * val
    return {"train": stems[:train], "val": stems[train : train + val], "test": stems[train + val :]}


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture in the format of its suffix; NIfTI stores columns first, (X, Y)."""
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(pixels.T), _ECHO_AFFINE), path)


class _Canvas:
    """Coordinates of a picture, and the random fields that are drawn on it.

    Args:
        height: height in pixels.
        width: width in pixels.
        rng: random number generator of the fields.
    """

    def __init__(self, height: int, width: int, rng: np.random.Generator) -> None:
        self.shape = (height, width)
        self.rng = rng
        self.y = np.linspace(0, 1, height, dtype=np.float32)[:, None] + np.zeros(self.shape, np.float32)
        self.x = np.linspace(0, 1, width, dtype=np.float32)[None] + np.zeros(self.shape, np.float32)

    def noise(self, rows: int, columns: int) -> Floats:
        """Return smooth noise in [0, 1], (H, W): a grid of rows x columns random values, linearly interpolated."""
        grid = self.rng.random((rows, columns), dtype=np.float32)
        return _weights(self.shape[0], rows) @ grid @ _weights(self.shape[1], columns).T

    def speckle(self, strength: float) -> Floats:
        """Return a multiplicative field of mean about 1, (H, W), Rayleigh distributed and slightly correlated."""
        field = self.rng.rayleigh(0.8, self.shape).astype(np.float32)
        field = 0.5 * field + 0.25 * (np.roll(field, 1, 1) + np.roll(field, -1, 1))
        return (1 + strength * (field - 1)).astype(np.float32)

    def blob(self, center: tuple[float, float], radii: tuple[float, float], angle: float, wobble: float) -> Floats:
        """Return a field that is below 1 inside an irregular ellipse, (H, W): the relative distance to its center.

        Args:
            center: x and y in [0, 1].
            radii: half axes, as shares of the picture's sides.
            angle: rotation in radians.
            wobble: deviation of the outline from the ellipse, as a share of its radius.
        """
        x, y = self.x - np.float32(center[0]), self.y - np.float32(center[1])
        u = (np.cos(angle) * x + np.sin(angle) * y) / np.float32(radii[0])
        v = (np.cos(angle) * y - np.sin(angle) * x) / np.float32(radii[1])
        turn = np.arctan2(v, u)
        waves = [self.rng.uniform(-1, 1) * np.cos(k * turn + self.rng.uniform(0, 2 * np.pi)) / k for k in (2, 3, 5)]
        return (np.hypot(u, v) / (1 + np.float32(wobble) * np.sum(waves, axis=0))).astype(np.float32)


def _weights(size: int, knots: int) -> Floats:
    """Return the (size, knots) matrix that interpolates `knots` values linearly at `size` positions."""
    position = np.linspace(0, knots - 1, size, dtype=np.float32)
    return np.clip(1 - np.abs(position[:, None] - np.arange(knots, dtype=np.float32)[None]), 0, 1)


def _inside(relative: Floats, softness: float) -> Floats:
    """Return 1 inside and 0 outside, with a soft edge of the given relative width."""
    return np.clip(0.5 + (1 - relative) / np.float32(softness), 0, 1)


def _canvas(rng: np.random.Generator) -> _Canvas:
    height, width = rng.integers(112, 161, 2)
    return _Canvas(int(height), int(width), rng)


def draw_ultrasound(rng: np.random.Generator) -> tuple[Floats, Labels]:
    """Draw gray layered tissue under speckle that darkens with depth, and one hypoechoic lesion."""
    canvas = _canvas(rng)
    tissue = 0.2 + 0.35 * canvas.noise(int(rng.integers(6, 14)), 3) + 0.35 * canvas.noise(6, 6)
    center = (rng.uniform(0.25, 0.75), rng.uniform(0.3, 0.7))
    radii = (rng.uniform(0.12, 0.26), rng.uniform(0.1, 0.2))
    relative = canvas.blob(center, radii, rng.uniform(-0.5, 0.5), 0.2)
    inside = _inside(relative, rng.uniform(0.15, 0.4))
    lesion = rng.uniform(0.15, 0.28) * (0.7 + 0.6 * canvas.noise(6, 6))
    image = tissue + inside * (lesion - tissue)
    column = np.clip(1.5 - 2 * np.abs(canvas.x - center[0]) / radii[0], 0, 1)
    below = np.clip((canvas.y - center[1]) / radii[1], 0, 1) * column * (1 - inside)
    image = image * (1 + np.float32(rng.uniform(-0.4, 0.35)) * below)  # a shadow or an enhancement behind the lesion
    for _ in range(rng.integers(0, 4)):  # dark bands of lost contact, which are not lesions
        image = image * (1 - rng.uniform(0.2, 0.5) * np.exp(-(((canvas.x - rng.random()) / 0.05) ** 2)))
    image = image * (1.15 - rng.uniform(0.2, 0.6) * canvas.y) * canvas.speckle(rng.uniform(0.7, 1.0))
    return np.clip(image, 0, 1).astype(np.float32), (relative < 1).astype(np.uint8)


def draw_endoscopy(rng: np.random.Generator) -> tuple[Floats, Labels]:
    """Draw reddish mucosa with folds, a vignette and highlights, and a polyp of nearly the same color."""
    canvas = _canvas(rng)
    center = (rng.uniform(0.22, 0.78), rng.uniform(0.22, 0.78))
    radii = (rng.uniform(0.12, 0.24), rng.uniform(0.12, 0.24))
    relative = canvas.blob(center, radii, rng.uniform(0, np.pi), 0.15)
    inside = _inside(relative, 0.12)
    dome = rng.uniform(0.95, 1.2) * (0.8 + 0.35 * np.sqrt(np.clip(1 - relative**2, 0, 1)))
    rim = 1 - rng.uniform(0.15, 0.4) * np.exp(-(((relative - 1.02) / 0.12) ** 2))
    folds = _folds(canvas)
    light = (folds + inside * (dome - folds)) * rim * (0.8 + 0.3 * canvas.noise(4, 4) + 0.1 * canvas.noise(24, 24))
    mucosa = np.array([rng.uniform(0.65, 0.85), rng.uniform(0.32, 0.46), rng.uniform(0.25, 0.38)], np.float32)
    tint = np.array([0.0, rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.3)], np.float32)
    image = light[..., None] * mucosa * (1 + inside[..., None] * tint)
    for _ in range(rng.integers(2, 7)):  # highlights
        size = rng.uniform(0.01, 0.03, 2)
        glint = canvas.blob((rng.random(), rng.random()), (size[0], size[1]), 0.0, 0.3)
        image = image + _inside(glint, 0.6)[..., None] * (np.float32(0.95) - image)
    vignette = 1 - 0.55 * np.clip(np.hypot(canvas.x - 0.5, canvas.y - 0.5) / 0.7, 0, 1) ** 3
    image = image * vignette[..., None] + 0.015 * rng.standard_normal(image.shape)
    return np.clip(image, 0, 1).astype(np.float32), (relative < 1).astype(np.uint8)


def _folds(canvas: _Canvas) -> Floats:
    """Return the brightness of a wall with irregular dark folds around a dark lumen, about 1 at most, (H, W)."""
    rng = canvas.rng
    depth = np.hypot(canvas.x - rng.uniform(0.1, 0.9), canvas.y - rng.uniform(0.1, 0.9)) + 0.2 * canvas.noise(4, 4)
    folds = np.cos(depth * rng.uniform(12, 22)) ** 6 * np.clip(1.6 * canvas.noise(5, 5) - 0.3, 0, 1)
    return (1 - 0.4 * folds) * (1 - 0.6 * np.exp(-((depth / rng.uniform(0.15, 0.25)) ** 2)))


def draw_echo(rng: np.random.Generator) -> tuple[Floats, Labels]:
    """Draw a sector with a left ventricle (cavity 1, wall 2) and the left atrium (3) under it, under speckle."""
    canvas = _canvas(rng)
    tilt, size = rng.uniform(-0.3, 0.3), rng.uniform(0.85, 1.15)
    apex = (0.5 + rng.uniform(-0.06, 0.06), 0.02)
    ventricle = (0.5 + rng.uniform(-0.07, 0.07), 0.42 + rng.uniform(-0.04, 0.04))
    radii = (0.13 * size, 0.22 * size)
    wall = rng.uniform(0.05, 0.08)
    cavity = canvas.blob(ventricle, radii, tilt, 0.06)
    outer = canvas.blob(ventricle, (radii[0] + wall, radii[1] + wall), tilt, 0.04)
    down = (-np.sin(tilt), np.cos(tilt))
    reach = radii[1] + 0.11 * size
    atrium = canvas.blob(
        (ventricle[0] + reach * down[0], ventricle[1] + reach * down[1]), (0.13 * size, 0.105 * size), tilt, 0.08
    )
    base = (canvas.x - ventricle[0]) * down[0] + (canvas.y - ventricle[1]) * down[1] > 0.85 * radii[1]
    labels = np.zeros(canvas.shape, np.uint8)
    labels[(outer < 1) & ~base] = 2
    labels[atrium < 1] = 3
    labels[cavity < 1] = 1
    tissue = 0.25 + 0.25 * canvas.noise(7, 7)
    brightness = np.array([0.0, rng.uniform(0.08, 0.14), rng.uniform(0.5, 0.75), rng.uniform(0.08, 0.16)], np.float32)
    image = np.where(labels == 0, tissue, brightness[labels] * (0.75 + 0.5 * canvas.noise(6, 6)))
    image = image * canvas.speckle(rng.uniform(0.5, 0.85)) * (1.1 - rng.uniform(0.1, 0.4) * canvas.y)
    x, y = canvas.x - apex[0], canvas.y - apex[1]
    sector = (np.abs(np.arctan2(x, np.maximum(y, 1e-6))) < rng.uniform(0.6, 0.75)) & (np.hypot(x, y) < 0.95)
    return np.clip(image * sector, 0, 1).astype(np.float32), (labels * sector).astype(np.uint8)


DEMO_DATASETS: Registry[DemoDataset] = Registry("demo dataset")
DEMO_DATASETS.register("ultrasound", DemoDataset(draw_ultrasound, ("lesion",)))
DEMO_DATASETS.register("endoscopy", DemoDataset(draw_endoscopy, ("polyp",)))
DEMO_DATASETS.register(
    "echo",
    DemoDataset(draw_echo, ("left ventricular cavity", "myocardium", "left atrium cavity"), suffix=".nii.gz"),
)
