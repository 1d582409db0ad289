from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_tunevlseg.data import LoadImageMaskd, SaveProbabilitiesd
from monai_tunevlseg.data.io.volumes import stored_order
from monai_tunevlseg.data.transforms.probability_maps import uncertainty_of

OBLIQUE = np.array([[-0.7, 0.1, 0.02, 10], [0.1, -0.8, 0.2, 20.5], [0.03, 0.1, 2.5, -30], [0, 0, 0, 1]])


def predicted(source, count):
    """Return a loaded image with a label map and `count` probabilities, of which one is 0 and one is 1."""
    item = LoadImageMaskd(with_label=False)({"image": str(source)})
    chance = np.random.default_rng(0).random((1 + count, *item["image"].shape[1:])).astype(np.float32)
    chance[0] = 2
    chance[1].flat[:2] = 0, 1
    return item | {"pred": torch.from_numpy(chance)}, chance[1:]


def bits(chance):
    """Return the entropy of probabilities, in the definition's own words."""
    one = [chance, 1 - chance]
    return sum(-each * np.log2(np.where(each > 0, each, 1)) for each in np.asarray(one, np.float64))


def test_a_picture_gets_a_png_of_16_bits_for_each_class(tmp_path, save):
    source = save(tmp_path / "a.b.jpg", np.full((12, 16, 3), 100, np.uint8))
    item, chance = predicted(source, 2)
    left = SaveProbabilitiesd("pred", tmp_path / "out", ["polyp", "Müller's muscle"])(item)
    assert left["pred"].dtype == torch.uint8 and torch.equal(left["pred"], torch.full((1, 12, 16), 2).byte())
    for name, expected in zip(["polyp", "Müller's muscle"], chance, strict=True):
        for kind, values in (("probabilities", expected), ("uncertainty", bits(expected))):
            read = np.asarray(Image.open(tmp_path / "out" / kind / name / "a.b.png"))
            assert read.dtype == np.uint16
            np.testing.assert_allclose(read / 65535, values, atol=0.51 / 65535)
    stored = np.asarray(Image.open(tmp_path / "out" / "probabilities" / "polyp" / "a.b.png"))
    assert stored.flat[:2].tolist() == [0, 65535]
    assert len(list((tmp_path / "out").rglob("*.*"))) == 4


@pytest.mark.parametrize("shape", [(6, 7, 5), (6, 7, 1), (6, 7)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_volume_gets_float32_in_its_own_geometry(tmp_path, shape, suffix):
    source = tmp_path / f"v.1{suffix}"
    image = nib.Nifti1Image(np.random.default_rng(1).normal(size=shape).astype(np.int16), OBLIQUE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["scl_slope"], image.header["scl_inter"] = 2, -1000
    nib.save(image, source)
    item, (chance,) = predicted(source, 1)
    SaveProbabilitiesd("pred", tmp_path / "out", ["lesion"])(item)
    for kind, values in (("probabilities", chance), ("uncertainty", bits(chance))):
        read = nib.load(tmp_path / "out" / kind / "lesion" / f"v.1{suffix}")
        assert (read.get_data_dtype(), read.shape) == (np.float32, shape)
        np.testing.assert_allclose(
            read.get_fdata().reshape(stored_order(values, source).shape), stored_order(values, source), atol=1e-6
        )
        np.testing.assert_array_equal(read.affine, nib.load(source).affine)
        assert read.header.get_xyzt_units() == ("mm", "sec")


def test_the_uncertainty_of_certain_probabilities_is_a_number():
    assert uncertainty_of(np.float32([0, 1, 0.5, 1e-30, 1 - 2**-24])).tolist() == pytest.approx(
        [0, 0, 1, 0, 1.5e-6], abs=1e-6
    )


@pytest.mark.parametrize("name", ["left/right", "../../evil", "..", ".hidden", "a%2Fb", "50 %", "a\\b", "a\nb"])
def test_any_class_name_has_a_folder_of_its_own(tmp_path, save, name):
    source = save(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    names = [name, "a", "left_right", "a%252Fb"]
    SaveProbabilitiesd("pred", tmp_path / "out", names)(predicted(source, 4)[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "out"]
    folders = list((tmp_path / "out" / "probabilities").iterdir())
    assert len(folders) == 4 and {len(list(folder.iterdir())) for folder in folders} == {1}


@pytest.mark.parametrize(
    ("shape", "shown"), [((3, 3, 4), r"\(2, 3, 4\).*\(1, 3, 4\)"), ((2, 4, 3), r"\(1, 4, 3\).*\(1, 3, 4\)")]
)
def test_probabilities_of_another_size_or_number_are_refused(tmp_path, save, shape, shown):
    source = save(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    item = predicted(source, 1)[0] | {"pred": torch.zeros(shape)}
    with pytest.raises(ValueError, match=rf"a\.png.*{shown}"):
        SaveProbabilitiesd("pred", tmp_path / "out", ["lesion"])(item)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_for_monai_labels_own_app(tmp_path, save):
    source = save(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    item = predicted(source, 1)[0] | {"image_path": str(source)}
    assert SaveProbabilitiesd("pred", tmp_path / "out", ["lesion"])(item)["pred"].shape == (1, 3, 4)
    assert not (tmp_path / "out").exists()
