"""Label maps as files: axes and geometry are those of the image, in every format."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from label_fixtures import AFFINE, SIZE, circle_mask, draw_picture, write_volume
from PIL import Image

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

import nrrd

from monai_tunevlseg.monai_label.label_map_writer import write_label_map

LABELS = circle_mask().T.astype(np.uint8)
"""(X, Y)"""


def read_label_map(path):
    """Return the values with x first."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path)).T
    return nrrd.read(str(path))[0] if path.suffix == ".nrrd" else np.asarray(nib.load(path).dataobj)


@pytest.fixture
def image(request, tmp_path):
    if request.param == "picture":
        draw_picture().save(tmp_path / "image.png")
        return tmp_path / "image.png"
    nib.save(nib.Nifti1Image(np.zeros(SIZE[::-1], np.int16), np.eye(4)), tmp_path / "image.nii.gz")
    return tmp_path / "image.nii.gz"


@pytest.mark.parametrize("image", ["picture", "2-D NIfTI"], indirect=True)
@pytest.mark.parametrize("extension", [None, ".png", ".nii", ".nii.gz", ".nrrd"])
def test_a_2d_label_map_keeps_its_axes_in_every_format(image, extension):
    written = write_label_map(LABELS, image, extension)
    assert written.name.endswith(extension or image.name.removeprefix("image"))
    np.testing.assert_array_equal(np.squeeze(read_label_map(written)), LABELS)


@pytest.mark.parametrize("extension", [None, ".nii", ".nrrd"])
def test_a_volume_keeps_its_axes_and_geometry_in_every_format(tmp_path, extension):
    labels = np.repeat(LABELS[..., None], 5, axis=2) * np.arange(1, 6, dtype=np.uint8)
    written = write_label_map(labels, write_volume(tmp_path / "volume.nii.gz"), extension)
    np.testing.assert_array_equal(read_label_map(written), labels)
    if extension != ".nrrd":
        np.testing.assert_allclose(nib.load(written).affine, AFFINE)


@pytest.mark.parametrize("extension", [".png", ".exe", ".npy"])
def test_an_unsuitable_extension_is_refused(tmp_path, extension):
    with pytest.raises(ValueError, match=extension):
        write_label_map(np.zeros((*SIZE, 5), np.uint8), write_volume(tmp_path / "volume.nii.gz"), extension)
