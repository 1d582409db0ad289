"""Small pictures, volumes and bundles for the tests of the MONAI Label app."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import yaml
from PIL import Image, ImageDraw

from monai_tunevlseg.demo import demo_model, embedded_models

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = (120, 150)
"""Height and width of the pictures."""
CIRCLES = ((35, 40), (110, 75))
"""Centers (x, y) of the red circles."""
SQUARE = (112, 25)
"""Center (x, y) of the blue square."""
RADIUS = 17
AFFINE = np.array([[-0.7, 0, 0, 30], [0, 0.8, 0, -45], [0, 0, 2.5, 7], [0, 0, 0, 1]])
"""Voxel to world of the volumes, in mm; the first axis is reversed."""


def draw_picture(shift: int = 0, circles: bool = True) -> Image.Image:
    """Draw two red circles and a blue square on gray, moved down by some pixels."""
    picture = Image.new("RGB", SIZE[::-1], (120, 118, 115))
    draw = ImageDraw.Draw(picture)
    for x, y in CIRCLES if circles else ():
        draw.ellipse((x - RADIUS, y + shift - RADIUS, x + RADIUS, y + shift + RADIUS), fill=(215, 30, 35))
    x, y = SQUARE
    draw.rectangle((x - 12, y + shift - 12, x + 12, y + shift + 12), fill=(35, 45, 215))
    return picture


def circle_mask(shift: int = 0, circles: tuple[tuple[int, int], ...] = CIRCLES) -> np.ndarray:
    """Return where the red circles are: (H, W) bool."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    inside = np.zeros(SIZE, bool)
    for x, y in circles:
        inside |= (columns - x) ** 2 + (rows - y - shift) ** 2 <= RADIUS**2
    return inside


def write_studies(folder: Path, pictures: int = 8) -> Path:
    """Write pictures, a JPEG among them, and a volume, as a studies folder."""
    folder.mkdir(parents=True)
    for number in range(pictures):
        draw_picture(number).save(folder / f"picture{number}.png")
    draw_picture().save(folder / "photo.jpg", quality=95)
    write_volume(folder / "volume.nii.gz")
    return folder


def write_volume(path: Path) -> Path:
    """Write a volume (X, Y, Z) of bright discs on gray; slice 3 is empty."""
    rng = np.random.default_rng(0)
    voxels = rng.normal(80, 4, (*SIZE[::-1], 5))
    voxels[..., :3] += 120 * circle_mask().T[..., None]
    image = nib.Nifti1Image(voxels.astype(np.int16), AFFINE)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def write_bundle(
    folder: Path,
    class_names: tuple[str, ...],
    dataset: str = "ultrasound",
    bundle: str = "clipseg_vpt",
    **changes: object,
) -> Path:
    """Write a bundle of a tiny model: a bundle's and an experiment's configs in one piece, with changes."""
    configs, model = folder / "configs", bundle.partition("_")[0]
    configs.mkdir(parents=True)
    experiment = (REPOSITORY / "configs" / dataset / f"{bundle}.yaml").read_text()
    for source in (REPOSITORY / "bundles" / bundle / "configs").iterdir():
        text = source.read_text()
        if source.suffix == ".yaml":
            own: dict[str, object] = {"class_names": list(class_names)}
            own |= {"pretrained": str(demo_model(model))} if model in embedded_models() else {}
            text = yaml.safe_dump(yaml.safe_load(text) | yaml.safe_load(experiment) | own | changes, sort_keys=False)
        (configs / source.name).write_text(text)
    return folder


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Dice coefficient of two masks."""
    first, second = first > 0, second > 0
    return 2 * float((first & second).sum()) / max(1, int(first.sum() + second.sum()))
