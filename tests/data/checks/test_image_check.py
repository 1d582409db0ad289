"""The shortcuts that make checking as fast as decoding agree with the slow way, and find the same damage."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from monai_tunevlseg.data.checks.duplicates import (
    CORRELATION,
    fine_details,
    group_identical_files,
    group_near_duplicates,
    perceptual_hash,
)
from monai_tunevlseg.data.checks.image_check import check_image
from monai_tunevlseg.data.io.mask_values import to_binary_mask
from monai_tunevlseg.data.io.pictures import read_gray_picture, read_picture
from monai_tunevlseg.data.io.reading import read_stored_mask, read_unique_values


def picture(width=96, height=80, seed=0):
    rng = np.random.default_rng(seed)
    forms = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height), 2)
    return Image.fromarray((np.asarray(forms) + rng.normal(0, 6, (height, width, 3))).clip(0, 255).astype(np.uint8))


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA", "LA", "1", "I;16"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_gray_is_that_of_the_whole_picture(tmp_path, mode, suffix):
    path = tmp_path / f"image{suffix}"
    image = picture() if mode != "I;16" else Image.fromarray(np.asarray(picture().convert("L")).astype(np.uint16) * 257)
    try:
        (image if mode == "I;16" else image.convert(mode)).save(path)
    except (OSError, KeyError):
        return  # the format does not know the mode
    try:
        whole = read_picture(path)
    except ValueError:
        with pytest.raises(ValueError, match=r"cannot be read"):
            read_gray_picture(path, 64)
        return
    shape, gray = read_gray_picture(path, 64)
    assert shape == whole.shape[:2] == (80, 96)
    assert gray.mode == "L"
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(np.asarray(gray) - 255 * whole @ weights).mean() < (20 if mode == "1" else 6)


def test_a_large_jpeg_is_scaled_down_but_not_below_the_given_size(tmp_path):
    path = tmp_path / "image.jpg"
    picture(640, 400).save(path, quality=90)
    shape, gray = read_gray_picture(path, 64)
    assert shape == (400, 640)
    assert 64 <= gray.height <= 128
    path = tmp_path / "small.jpg"
    picture(30, 20).save(path)
    assert read_gray_picture(path, 64)[1].size == (30, 20)


@pytest.mark.parametrize(
    "form", [{"format": "JPEG", "quality": 90}, {"format": "JPEG", "progressive": True}, {"format": "PNG"}]
)
def test_damage_is_found_where_reading_finds_it(tmp_path, form):
    buffer = io.BytesIO()
    picture().save(buffer, **form)
    content = buffer.getvalue()
    path = tmp_path / f"image.{form['format'].lower()}".replace("jpeg", "jpg")
    rng = np.random.default_rng(0)
    damaged = [content[:length] for length in rng.integers(0, len(content), 40)]
    for _ in range(40):
        flipped = bytearray(content)
        flipped[rng.integers(0, len(content))] ^= 1 << rng.integers(0, 8)
        damaged.append(bytes(flipped))
    outcomes = []
    for version in damaged:
        path.write_bytes(version)
        outcomes.append((raises(lambda: read_picture(path)), raises(lambda: read_gray_picture(path, 64))))
    assert [slow for slow, _ in outcomes] == [fast for _, fast in outcomes]
    assert sum(slow for slow, _ in outcomes) >= 30


def raises(read):
    try:
        read()
    except ValueError:
        return True
    return False


# ---------------------------------------------------------------- masks


def masks(folder: Path) -> list[Path]:
    """Masks of many forms, some of them wrong."""
    disc = np.zeros((24, 32), np.uint8)
    disc[4:12, 8:20] = 1
    palette = Image.fromarray(disc).convert("P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    swapped = Image.fromarray(1 - disc).convert("P")
    swapped.putpalette([255, 255, 255, 0, 0, 0])
    colors = np.zeros((24, 32, 3), np.uint8)
    colors[disc == 1] = (255, 0, 0)
    images = {
        "bits.png": Image.fromarray(disc * 255).convert("1"),
        "zero.png": Image.fromarray(disc * 0),
        "ones.png": Image.fromarray(disc),
        "white.png": Image.fromarray(disc * 255),
        "full.png": Image.fromarray(disc * 0 + 255),
        "gray.png": Image.fromarray(disc * 77),
        "labels.png": Image.fromarray(disc * 2),
        "noisy.jpg": Image.fromarray(disc * 255),
        "dark.jpg": Image.fromarray(disc * 60),
        "rgb.png": Image.fromarray(np.repeat(disc[..., None] * 255, 3, -1)),
        "red.png": Image.fromarray(colors),
        "red.jpg": Image.fromarray(colors),
        "palette.png": palette,
        "swapped.png": swapped,
        "alpha.png": Image.fromarray(disc * 255).convert("LA"),
        "deep.png": Image.fromarray(disc.astype(np.uint16) * 255),
    }
    for name, image in images.items():
        image.save(folder / name)
    tifffile.imwrite(folder / "float.tif", disc.astype(np.float32))
    tifffile.imwrite(folder / "broken.tif", disc.astype(np.float32) * 0.5)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("label_value", [None, 1, 2])
@pytest.mark.parametrize("mask_threshold", [None, 1, 128])
def test_the_unique_values_of_a_mask_give_the_results_of_the_whole_mask(tmp_path, label_value, mask_threshold):
    for path in masks(tmp_path):
        whole = read_stored_mask(path)
        shape, row = read_unique_values(path)
        assert shape == whole.values.shape
        assert row.values.shape[0] == 1
        told = [outcome(mask, path, label_value, mask_threshold) for mask in (whole, row)]
        assert told[0] == told[1], path.name


def outcome(mask, path, label_value, mask_threshold):
    try:
        return bool(to_binary_mask(mask, path, label_value, mask_threshold).any())
    except ValueError as error:
        return str(error)


def test_real_masks_tell_the_same(shared_dir):
    paths = [
        path for name in ("busi", "kvasir_seg", "dfu_fuseg") for path in (shared_dir / "realdata" / name).rglob("*.*")
    ]
    found = [path for path in paths if "mask" in str(path) or "labels" in str(path)]
    assert len(found) > 30
    for path in found:
        assert outcome(read_unique_values(path)[1], path, None, None) == outcome(
            read_stored_mask(path), path, None, None
        )


# ---------------------------------------------------------------- one image with its masks


def sample(folder, mask, **more):
    label = mask if isinstance(mask, list) else str(mask)
    return {"image": str(folder / "image.png"), "label": label, "text": "x", "class_name": "x"} | more


def test_an_image_and_its_masks_are_inspected_without_raising(tmp_path):
    picture(32, 24).save(tmp_path / "image.png")
    (tmp_path / "masks").mkdir()
    paths = {path.name: path for path in masks(tmp_path / "masks")}
    Image.new("L", (5, 5)).save(tmp_path / "small.png")
    samples = [
        sample(tmp_path, paths["white.png"]),
        sample(tmp_path, paths["zero.png"]),
        sample(tmp_path, [str(paths["zero.png"]), str(paths["ones.png"])]),
        sample(tmp_path, paths["labels.png"], label_value=2),
        sample(tmp_path, paths["labels.png"], label_value=3),
        sample(tmp_path, paths["gray.png"]),
        sample(tmp_path, paths["gray.png"], mask_threshold=70),
        sample(tmp_path, tmp_path / "nowhere.png"),
        sample(tmp_path, tmp_path / "small.png"),
        sample(tmp_path, "codes.json", rle={"size": [24, 32], "counts": "PH"}),
    ]
    check = check_image(tmp_path / "image.png", samples)
    assert check.empty == [False, True, False, False, True, None, False, None, True, None]
    assert [issue.kind for issue in check.issues] == ["encoding", "missing", "size", "unreadable"]
    assert check.bits.shape == (256,)


def test_an_image_that_cannot_be_read_does_not_hide_its_masks(tmp_path):
    (tmp_path / "image.png").write_bytes(b"no")
    (tmp_path / "mask.png").write_bytes(b"no")
    check = check_image(tmp_path / "image.png", [sample(tmp_path, tmp_path / "mask.png")] * 3)
    assert [issue.files for issue in check.issues] == [(str(tmp_path / name),) for name in ("image.png", "mask.png")]
    assert check.bits is None
    assert check.empty == [None] * 3


def test_the_slices_of_a_volume_are_distinguished(tmp_path):
    import nibabel as nib

    labels = np.zeros((6, 5, 4), np.uint8)
    labels[2, 2, 1] = 7
    rng = np.random.default_rng(0)
    nib.save(nib.Nifti1Image(rng.random(labels.shape, np.float32), np.eye(4)), tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "mask.nii.gz")
    samples = [sample(tmp_path, tmp_path / "mask.nii.gz", label_value=7, slice=n, slice_axis=2) for n in range(4)]
    check = check_image(tmp_path / "image.nii.gz", samples)
    assert (check.empty, check.issues) == ([True, True, False, True], [])


# ---------------------------------------------------------------- duplicates


def test_same_bytes(tmp_path):
    contents = {
        "a": b"x" * 20000,
        "b": b"x" * 20000,
        "c": b"x" * 19999 + b"y",
        "d": b"x" * 19999,
        "e": b"",
        "f": b"z",
        "g": b"z",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    groups = group_identical_files(tmp_path / name for name in "gfedcbaab")
    assert [[path.name for path in group] for group in groups] == [["g", "f"], ["b", "a"]]


def test_groups_are_those_of_the_hamming_distance_and_the_correlation():
    rng = np.random.default_rng(0)
    bits = rng.random((1500, 256)) < 0.5
    twins = np.stack([bits[n] ^ (np.arange(256) < n) for n in range(0, 30, 3)])
    fine = rng.normal(size=(1500, 64)).astype(np.float32)
    fine /= np.linalg.norm(fine, axis=1, keepdims=True)
    found = group_near_duplicates(np.concatenate([bits, twins]), np.concatenate([fine, fine[:30:3]]), 12)
    assert found == [[n, 1500 + n // 3] for n in (0, 3, 6, 9, 12)]
    assert group_near_duplicates(np.concatenate([bits, twins]), np.concatenate([fine, fine[100:110]]), 12) == []


def test_hashes_of_different_real_images_differ_in_many_bits(shared_dir):
    folder = shared_dir / "realdata"
    paths = [*folder.glob("kvasir_seg/**/images/*.jpg"), *folder.glob("cvc_clinicdb/**/Original/*.tif")]
    paths += [path for path in folder.glob("busi/**/*.png") if "_mask" not in path.name]
    pictures = [read_gray_picture(path, 64)[1] for path in paths]
    hashes, fine = np.stack([*map(perceptual_hash, pictures)]), np.stack([*map(fine_details, pictures)])
    distances = (hashes[:, None] != hashes).sum(axis=-1)
    assert len(paths) >= 30
    others = ~np.eye(len(paths), dtype=bool)
    assert distances[others].min() > 40
    assert (fine @ fine.T)[others].max() < CORRELATION - 0.05
