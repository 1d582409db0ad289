"""Groups of similar pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from monai_tunevlseg.data.checks.dataset_check import MAX_DISTANCE
from monai_tunevlseg.data.checks.duplicates import fine_details, group_near_duplicates, perceptual_hash

PHOTOS = 24


def photo(seed: int) -> Image.Image:
    """A scan-like gray picture: the same light and dark bands as any other, and a texture of its own."""
    rng = np.random.default_rng(seed)
    bands = np.interp(np.linspace(0, 1, 200), [0, 0.2, 0.6, 1], [30, 170, 90, 20])[:, None]
    coarse = Image.fromarray(rng.integers(0, 256, (14, 18), dtype=np.uint8)).resize(
        (256, 200), Image.Resampling.BICUBIC
    )
    return Image.fromarray(
        (0.7 * bands + 0.3 * np.asarray(coarse) + rng.normal(0, 4, (200, 256))).clip(0, 255).astype("u1")
    )


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer).convert("L")


def marks(image: Image.Image) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.text((8, 8), "LEFT 12:00", fill=255)
    draw.line([(100, 90), (112, 90)], fill=255, width=2)
    draw.line([(106, 84), (106, 96)], fill=255, width=2)
    return image


CHANGES = {
    "jpeg": jpeg,
    "half": lambda image: image.resize((128, 100)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
    "gamma": lambda image: image.point([int(255 * (value / 255) ** 0.6) for value in range(256)]),
    "marks": marks,
}


def groups(images, distance=MAX_DISTANCE):
    return group_near_duplicates(
        np.stack(list(map(perceptual_hash, images))), np.stack(list(map(fine_details, images))), distance
    )


@pytest.mark.parametrize("change", CHANGES)
def test_changed_pictures_are_grouped_with_their_own_and_no_other(change):
    images = [photo(seed) for seed in range(PHOTOS)]
    assert groups([*images, *map(CHANGES[change], images)]) == [[seed, PHOTOS + seed] for seed in range(PHOTOS)]


def test_a_chain_is_one_group_and_others_are_none():
    chain = [photo(0), marks(photo(0)), jpeg(marks(photo(0)))]
    assert groups([photo(5), *chain, photo(6)]) == [[1, 2, 3]]
    assert groups([photo(seed) for seed in range(3)]) == []


def test_many_rows_give_the_same_groups_as_few(monkeypatch):
    images = [photo(seed % 7) for seed in range(40)]
    expected = [list(range(seed, 40, 7)) for seed in range(7)]
    assert groups(images) == expected
    monkeypatch.setattr("monai_tunevlseg.data.checks.duplicates.ROWS", 3)
    assert groups(images) == expected


def test_pictures_of_one_value_have_no_details():
    assert not fine_details(Image.new("L", (50, 40), 90)).any()
    assert groups([Image.new("L", (50, 40), value) for value in (10, 200)]) == []
