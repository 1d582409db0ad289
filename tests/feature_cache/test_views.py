import json
import os
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from feature_samples import transform_of, write_pairs
from monai.transforms import Compose, Lambda, Lambdad, MapTransform, RandGaussianNoised, Resized
from PIL import Image

from monai_tunevlseg.data import LoadImageMaskd
from monai_tunevlseg.feature_cache import Views
from monai_tunevlseg.feature_cache.keys import describe

ENCODER = {"base": "0123"}


def views_of(data, transform=None, seed=0, count=3, encoder=ENCODER):
    return Views(data, transform or transform_of(), seed, count, encoder)


def test_a_view_is_deterministic_and_differs_from_the_others(tmp_path):
    data = write_pairs(tmp_path)
    views = views_of(data)
    images, labels = views.make(1, [0, 1, 2])
    assert images.shape == (3, 3, 32, 32)
    assert labels.shape == (3, 1, 32, 32)
    assert not any(torch.equal(images[a], images[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    views.make(0, [2])
    again, their_labels = views_of(data).make(1, [2, 0])
    assert torch.equal(again, images[[2, 0]])
    assert torch.equal(their_labels, labels[[2, 0]])


def test_image_and_masks_move_together_and_an_image_is_read_once(tmp_path, counter):
    data = write_pairs(tmp_path, count=2, classes=3)
    views = views_of(data, count=4)
    images, labels = views.make(1, range(4))
    assert counter.take() == (1, 0)
    assert labels.shape == (4, 3, 32, 32)
    assert set(np.unique(labels)) == {0, 1}
    assert not (labels.sum(dim=1) > 1).any()
    for image, label in zip(images, labels, strict=True):  # the brighter, the higher the class
        gray = image.mean(dim=0)
        means = [gray[mask == 1].mean() for mask in label] if all(mask.any() for mask in label) else [0, 1, 2]
        assert means == sorted(means)
    assert [views.places[index] for index in range(6)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_no_views_means_no_random_transform(tmp_path):
    data = write_pairs(tmp_path)
    plain = transform_of(probability=0.0)(data[0])
    images, labels = views_of(data, count=0).make(0, [0])
    assert torch.equal(images[0], plain["image"])
    assert torch.equal(labels[0].float(), plain["label"])
    assert len(views_of(data, count=0)) == len(data)


def test_ignored_pixels_stay_ignored(tmp_path):
    data = write_pairs(tmp_path, count=1)
    values = np.array(Image.open(data[0]["label"]))
    values[10:14] = 9
    Image.fromarray(values).save(data[0]["label"])
    _, labels = views_of([data[0] | {"ignore_value": 9}]).make(0, [0, 1, 2])
    assert all(set(np.unique(label)) == {0, 1, 255} for label in labels)


def keys(data, **changes):
    return [key for keys in views_of(data, **changes).keys for key in keys]


def touch(path):
    os.utime(path, (1, 1))


def repaint(path):
    stat = Path(path).stat()
    values = np.array(Image.open(path))
    values[0, 0] = values[0, 0] == 0
    Image.fromarray(values).save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("change", [touch, repaint])
@pytest.mark.parametrize("file", ["image", "label"])
def test_a_file_that_was_touched_or_changed_gets_other_keys(change, file, tmp_path):
    data = write_pairs(tmp_path)
    before = keys(data)
    change(data[1][file])
    after = keys(data)
    assert [left == right for left, right in zip(before, after, strict=True)] == [True] * 3 + [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"encoder": {"base": "4567"}},
        {"transform": transform_of(size=40)},
        {"transform": transform_of(probability=0.5)},
        {"transform": Compose([*transform_of().transforms, Lambdad("image", lambda image: image * 2)])},
        {"count": 0},
    ],
    ids=["seed", "encoder", "size", "probability", "further transform", "no views"],
)
def test_all_that_a_view_depends_on_is_in_its_key(change, tmp_path):
    data = write_pairs(tmp_path)
    before = keys(data)
    assert len(set(before)) == len(before)
    assert not set(before) & set(keys(data, **change))


def test_folder_text_and_number_of_views_are_not_in_the_key(tmp_path):
    data = write_pairs(tmp_path)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in list(tmp_path.glob("*.png")):
        path.rename(moved / path.name)
    there = [
        sample | {key: str(moved / Path(sample[key]).name) for key in ("image", "label")} | {"text": "polyp"}
        for sample in data
    ]
    written = write_pairs(tmp_path)
    for sample, other in zip(written, there, strict=True):
        for key in ("image", "label"):
            stat = Path(other[key]).stat()
            os.utime(sample[key], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert keys(written) == keys(there)
    assert set(keys(there, count=2)) < set(keys(there, count=4))


def test_slices_of_a_volume_are_images_of_their_own(tmp_path):
    volume = np.random.default_rng(0).normal(size=(20, 24, 3)).astype(np.float32)
    for name, values in (("image", volume), ("mask", (volume > 0).astype(np.uint8))):
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}.nii.gz")
    sample = {"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "mask.nii.gz"), "text": "organ"}
    views = views_of([sample | {"slice": number, "slice_axis": 2} for number in range(3)])
    assert len({key for keys in views.keys for key in keys}) == 9
    assert not torch.equal(views.make(0, [0])[0], views.make(1, [0])[0])


def test_a_file_that_a_header_refers_to_is_in_the_key(tmp_path):
    header = "ObjectType = Image\nNDims = 2\nDimSize = 24 20\nElementType = MET_UCHAR\nElementDataFile = image.raw\n"
    (tmp_path / "image.mhd").write_text(header)
    (tmp_path / "image.raw").write_bytes(bytes(range(240)) * 2)
    Image.fromarray(np.zeros((24, 20), np.uint8)).save(tmp_path / "mask.png")
    data = [{"image": str(tmp_path / "image.mhd"), "label": str(tmp_path / "mask.png"), "text": "organ"}]
    before = keys(data)
    touch(tmp_path / "image.raw")
    assert not set(before) & set(keys(data))


def test_a_description_is_the_same_for_the_same_transform():
    noisy = [RandGaussianNoised("image", prob=0.5, std=std) for std in (0.1, 0.1, 0.2)]
    first, second, third = (describe(Compose([transform])) for transform in noisy)
    assert first == second != third
    assert describe({"a": np.arange(3), "b": {3, 1}}) == describe({"a": np.arange(3), "b": {1, 3}})
    assert describe(torch.zeros(2)) != describe(torch.zeros(3))


def test_a_negative_number_of_views_is_refused(tmp_path):
    with pytest.raises(ValueError, match="num_views is -1"):
        views_of(write_pairs(tmp_path), count=-1)


def scaled(factor):
    return lambda value: value * factor


def shifted(value, by=1):
    return value + by


class Settings:
    """A transform with a setting, whose method is the callable."""

    def __init__(self, factor):
        self.factor = factor

    def apply(self, value):
        return value * self.factor


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (scaled(2), scaled(2), scaled(3)),
        (partial(shifted, by=2), partial(shifted, by=2), partial(shifted, by=3)),
        (partial(shifted), partial(shifted), partial(scaled)),
        (Settings(2).apply, Settings(2).apply, Settings(3).apply),
        (lambda x, by=2: x + by, lambda x, by=2: x + by, lambda x, by=3: x + by),
        (lambda x: [y + 1 for y in x], lambda x: [y + 1 for y in x], lambda x: [y + 2 for y in x]),
        (lambda x: x.sum(), lambda x: x.sum(), lambda x: x.max()),
        (Resized("image", 8), Resized("image", 8), Resized("image", 8, anti_aliasing=True)),
        (Resized("image", 8), Resized("image", 8), Resized("image", 8, mode="bilinear")),
        (LoadImageMaskd(), LoadImageMaskd(), LoadImageMaskd(slice_axis=1)),
    ],
)
def test_a_description_of_a_callable_has_its_bound_values(one, same, other):
    """Otherwise the cache would return features of other settings."""
    transforms = [each if isinstance(each, MapTransform) else Lambda(each) for each in (one, same, other)]
    written = [json.dumps(describe(each)) for each in transforms]
    assert written[0] == written[1] != written[2]
    assert "0x" not in written[0]
