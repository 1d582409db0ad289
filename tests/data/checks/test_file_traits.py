"""`datasets check` warns of files that are read by rules a user may not expect."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_tunevlseg.data import DatasetSpec
from monai_tunevlseg.data.checks.dataset_check import check_dataset

SIZE = (20, 28)


def pair(folder, number, image=None, mask=None):
    rng = np.random.default_rng(number)
    shape = np.zeros(SIZE, np.uint8)
    shape[4:12, 5 + number % 8 : 15 + number % 8] = 255
    for part in ("images", "masks"):
        (folder / part).mkdir(exist_ok=True)
    picture = Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    (image or (lambda pixels, path: pixels.save(path)))(picture, folder / "images" / f"case{number}.png")
    (mask or (lambda pixels, path: Image.fromarray(pixels).save(path)))(shape, folder / "masks" / f"case{number}.png")


def found(folder):
    report = check_dataset(DatasetSpec(folder, ["polyp"]))
    return report.errors, {issue.kind: issue for issue in report.warnings}


def turned(pixels, path):
    exif = Image.Exif()
    exif[274] = 6
    pixels.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def deep(factor):
    return lambda pixels, path: Image.fromarray(np.asarray(pixels.convert("L")).astype(np.uint16) * factor).save(path)


def white_first(pixels, path):
    palette = Image.fromarray((pixels > 0).astype(np.uint8)).convert("P")
    palette.putpalette([255, 255, 255, 255, 0, 0])
    palette.save(path)


def opaque(pixels, path):
    Image.fromarray(np.dstack([np.full_like(pixels, 255)] * 3 + [pixels])).save(path)


@pytest.mark.parametrize(
    ("kind", "writers"),
    [
        ("exif", {"image": turned}),
        ("range", {"image": deep(16)}),
        ("palette", {"mask": white_first}),
        ("alpha", {"mask": opaque}),
    ],
)
def test_each_kind_is_named_with_its_files(tmp_path, kind, writers):
    for number in range(10):
        pair(tmp_path, number, **writers)
    errors, warnings = found(tmp_path)
    assert errors == []
    assert set(warnings) == {kind}
    assert len(warnings[kind].files) == 10 and "case0.png" in warnings[kind].message


def test_one_dark_picture_of_a_deep_dataset_gives_no_warning(tmp_path):
    for number in range(10):
        pair(tmp_path, number, image=deep(16 if number else 257))
    assert found(tmp_path) == ([], {})


def test_volumes_in_several_orientations_are_named(tmp_path, save):
    volume = np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32)
    labels = np.zeros((6, 7, 5), np.uint8)
    labels[2:4, 2:5, 1:4] = 1
    for number in range(10):
        for part, values in (("images", volume + number), ("masks", labels)):
            path = save(tmp_path / part / f"v{number}.nii.gz", values)
            if number == 3:
                image = nib.load(path)
                turned = image.as_reoriented(nib.io_orientation(np.diag([-1, 1, -1, 1])))
                nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    errors, warnings = found(tmp_path)
    assert errors == []
    assert len(warnings["orientation"].files) == 10


def test_implausible_masks_are_errors(tmp_path):
    colors = np.zeros((*SIZE, 3), np.uint8)
    colors[:10, :, 0], colors[10:, :, 1] = 128, 200
    for number in range(10):
        pair(tmp_path, number)
    Image.fromarray(colors).save(tmp_path / "masks" / "case1.jpg", quality=95)
    (tmp_path / "masks" / "case1.png").unlink()
    stray = np.zeros(SIZE, np.uint8)
    stray[3:9, 3:9], stray[0, 0] = 255, 32
    Image.fromarray(stray).save(tmp_path / "masks" / "case2.png")
    errors, _ = found(tmp_path)
    assert {name for issue in errors for name in ("case1.jpg", "case2.png") if name in issue.message} == {
        "case1.jpg",
        "case2.png",
    }


def test_depth_follows_from_the_content_and_not_the_suffix(tmp_path):
    for number in range(10):
        pair(tmp_path, number, image=deep(16))
        (tmp_path / "images" / f"case{number}.png").rename(tmp_path / "images" / f"case{number}.jpg")
    _, warnings = found(tmp_path)
    assert set(warnings) == {"range"}
    assert "set intensity_window" in warnings["range"].message
