import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS, write_demo_dataset


def read(path):
    """Return the pixels of a written file as (H, W) or (H, W, 3)."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    return np.asarray(nibabel.load(path).dataobj).T


@pytest.fixture(scope="module", params=list(DEMO_DATASETS))
def written(request, tmp_path_factory):
    return request.param, write_demo_dataset(
        request.param, tmp_path_factory.mktemp("demo") / "set", seed=1, num_images=8
    )


def test_folder_holds_one_mask_for_each_image_of_its_size(written):
    name, folder = written
    images, masks = (sorted((folder / part).iterdir()) for part in ("images", "masks"))
    assert [path.name for path in images] == [path.name for path in masks]
    assert len(images) == 8
    sizes = {read(path).shape[:2] for path in images}
    assert len(sizes) > 1  # so that resizing is real
    for image, mask in zip(images, masks, strict=True):
        assert image.name.endswith(DEMO_DATASETS[name].suffix)
        assert read(image).dtype == np.uint8
        assert read(image).shape[:2] == read(mask).shape


def test_splits_cut_all_stems_once(written):
    name, folder = written
    splits = json.loads((folder / "splits.json").read_text())
    stems = [path.name.removesuffix(DEMO_DATASETS[name].suffix) for path in (folder / "images").iterdir()]
    assert sorted(splits["train"] + splits["val"] + splits["test"]) == sorted(stems)
    assert [len(splits[part]) for part in ("train", "val", "test")] == [6, 1, 1]


def test_masks_hold_every_class(written):
    name, folder = written
    classes = len(DEMO_DATASETS[name].class_names)
    expected = {0, 255} if classes == 1 else set(range(classes + 1))
    for path in (folder / "masks").iterdir():
        assert set(np.unique(read(path))) == expected


def test_echo_keeps_its_geometry_and_nests_its_structures(tmp_path):
    folder = write_demo_dataset("echo", tmp_path, num_images=3)
    for path in (folder / "images").iterdir():
        image, mask = nibabel.load(path), nibabel.load(folder / "masks" / path.name)
        assert np.array_equal(image.affine, mask.affine)
        assert np.allclose(np.abs(np.diag(image.affine)), [0.5, 0.5, 1, 1])
        assert image.ndim == 2
        labels = np.asarray(mask.dataobj).T
        rows = {value: np.nonzero(labels == value)[0] for value in (1, 2, 3)}
        assert rows[2].min() < rows[1].min()  # the wall surrounds the cavity towards the apex
        assert rows[1].mean() < rows[3].mean()  # the atrium lies under the ventricle
        assert labels[image.get_fdata().T == 0].mean() < labels.mean()  # nothing is labeled outside the sector


def test_same_seed_writes_the_same_files_and_another_does_not(written, tmp_path):
    name, folder = written
    again = write_demo_dataset(name, tmp_path / "again", seed=1, num_images=8)
    other = write_demo_dataset(name, tmp_path / "other", seed=2, num_images=3)
    for part in ("images", "masks"):
        for path in (folder / part).iterdir():
            assert np.array_equal(read(path), read(again / part / path.name))
    first = next((other / "images").iterdir()).name
    assert not np.array_equal(read(other / "images" / first), read(folder / "images" / first))


def test_ultrasound_is_gray_and_its_lesion_dark_and_endoscopy_is_red():
    gray, lesion = DEMO_DATASETS["ultrasound"].draw(np.random.default_rng(0))
    assert gray.ndim == 2
    assert gray[lesion == 1].mean() < 0.7 * gray[lesion == 0].mean()
    red, _ = DEMO_DATASETS["endoscopy"].draw(np.random.default_rng(0))
    assert red.shape[2] == 3
    assert red[..., 0].mean() > 1.3 * red[..., 2].mean()


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'ultrasond'.*'ultrasound'"):
        write_demo_dataset("ultrasond", tmp_path)
    with pytest.raises(ValueError, match="num_images .* 2"):
        write_demo_dataset("echo", tmp_path, num_images=2)
    write_demo_dataset("ultrasound", tmp_path, num_images=3)
    with pytest.raises(FileExistsError, match="images already"):
        write_demo_dataset("ultrasound", tmp_path, num_images=3)
