"""Masks of Segmenter equal those of the bundle's inference, for every form of image."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor
from PIL import Image, ImageDraw
from shared_bundles import share_bundle

from monai_tunevlseg import Segmenter
from monai_tunevlseg.calibration import Calibration, ClassCalibration, write_calibration
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.sharing import Sources

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ["red circle", "blue square"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """An untrained bundle of an embedded base model."""
    sources = Sources(configs_dir=ROOT / "configs")
    return share_bundle("ultrasound/clipseg_vpt", tmp_path_factory.mktemp("shared"), sources=sources)


@pytest.fixture(scope="module")
def segmenter(bundle) -> Segmenter:
    return Segmenter.from_bundle(bundle, device="cpu")


@pytest.fixture(scope="module")
def drawing() -> np.ndarray:
    """A red circle and a blue square on gray: (H, W, 3) uint8."""
    picture = Image.new("RGB", (150, 120), (120, 118, 115))
    ImageDraw.Draw(picture).ellipse((18, 23, 52, 57), fill=(215, 30, 35))
    ImageDraw.Draw(picture).rectangle((100, 70, 125, 95), fill=(35, 45, 215))
    return np.asarray(picture)


@pytest.fixture(scope="module")
def picture(tmp_path_factory, drawing) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.fromarray(drawing).save(path)
    return path


@pytest.fixture(scope="module")
def volume(tmp_path_factory, drawing) -> Path:
    """A volume in colors, stored from left to right, back to front and bottom to top, of three slices that differ."""
    voxels = np.stack([drawing, drawing[::-1], drawing[:, ::-1]], axis=-2).swapaxes(0, 1)
    path = tmp_path_factory.mktemp("volumes") / "volume.nii.gz"
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.5, 3.0, 1.0])), path)
    return path


def test_devices_and_their_precisions_agree(bundle, drawing, device):
    exact = Segmenter.from_bundle(bundle, device="cpu", precision="fp32")
    other = Segmenter.from_bundle(bundle, device=device)
    assert (exact.segment(drawing, TEXTS) == other.segment(drawing, TEXTS)).mean() > 0.99
    np.testing.assert_allclose(exact.presence(drawing, TEXTS), other.presence(drawing, TEXTS), atol=0.05)


def written_by_inference(bundle: Path, image: Path, output: Path, **more: object) -> Path:
    """Return the mask that the bundle's own inference writes."""
    options = {"bundle_root": str(bundle), "dataset_dir": str(image), "output_dir": str(output), "device": "cpu"}
    config = str(bundle / "configs" / "inference.yaml")
    run = ConfigWorkflow(config, workflow_type="infer", logging_file=False, **options, **more)
    run.initialize()
    run.run()
    run.finalize()
    (mask,) = (output / "masks").iterdir()
    return mask


def test_a_picture_has_the_mask_that_inference_writes(bundle, segmenter, picture, tmp_path):
    mask = np.asarray(Image.open(written_by_inference(bundle, picture, tmp_path)))
    found = segmenter.segment(picture)
    assert found.dtype == bool and found.shape == (1, *mask.shape)
    assert 0 < found.sum() < found.size
    np.testing.assert_array_equal(found[0] * np.uint8(255), mask)


def test_a_volume_has_the_labels_that_inference_writes(bundle, segmenter, volume, tmp_path):
    written = nib.load(written_by_inference(bundle, volume, tmp_path, class_names=TEXTS))
    labels = np.asarray(written.dataobj)
    found = segmenter.probabilities(volume, TEXTS)
    assert found.dtype == np.float32 and found.shape == (2, *labels.shape) == (2, 150, 120, 3)
    assert len({slice_.tobytes() for slice_ in np.moveaxis(labels, -1, 0)}) == 3
    np.testing.assert_array_equal(np.where(found.max(axis=0) > 0.5, found.argmax(axis=0) + 1, 0), labels)
    np.testing.assert_array_equal(segmenter.segment(volume, TEXTS), found > 0.5)


def test_pictures_have_the_maps_that_inference_writes(bundle, picture, tmp_path):
    """Calibrated, and read back by a library of its own."""
    checkpoint = Path(shutil.copy(bundle / "models" / "model.pt", tmp_path))
    fitted = ClassCalibration(2.0, 0.3, 1, 0, 0, 0, 0)
    write_calibration(checkpoint, Calibration({"lesion": fitted}), file_digest(checkpoint))
    segmenter = Segmenter.from_bundle(bundle, device="cpu", ckpt_path=str(checkpoint))
    asked = {"ckpt_path": str(checkpoint), "save_probabilities": True}
    mask = np.asarray(Image.open(written_by_inference(bundle, picture, tmp_path / "output", **asked))) > 0
    found = {}
    for kind, wanted in (
        ("probabilities", segmenter.probabilities(picture)),
        ("uncertainty", segmenter.uncertainty(picture)),
    ):
        stored = Image.open(tmp_path / "output" / kind / "lesion" / "picture.png")
        assert (stored.mode, stored.size) == ("I;16", (150, 120))
        found[kind] = np.asarray(stored) / 65535
        np.testing.assert_allclose(found[kind], wanted[0], atol=1 / 65535)
        assert np.ptp(found[kind]) > 0.1
    near = np.abs(found["probabilities"] - 0.3) < 1 / 65535
    np.testing.assert_array_equal((found["probabilities"] > 0.3)[~near], mask[~near])
    assert 0 < mask.sum() < mask.size and (mask != (found["probabilities"] > 0.5)).any()


def test_a_volume_has_the_maps_that_inference_writes(bundle, segmenter, volume, tmp_path):
    asked = {"class_names": TEXTS, "save_probabilities": True}
    labels = np.asarray(nib.load(written_by_inference(bundle, volume, tmp_path, **asked)).dataobj)
    maps = {
        (kind, text): nib.load(tmp_path / kind / text / "volume.nii.gz")
        for kind in ("probabilities", "uncertainty")
        for text in TEXTS
    }
    assert {(read.get_data_dtype().name, read.shape) for read in maps.values()} == {("float32", (150, 120, 3))}
    chance = np.stack([np.asarray(maps["probabilities", text].dataobj) for text in TEXTS])
    np.testing.assert_array_equal(chance, segmenter.probabilities(volume, TEXTS))
    np.testing.assert_array_equal(np.where(chance.max(axis=0) > 0.5, chance.argmax(axis=0) + 1, 0), labels)
    for text, expected in zip(TEXTS, segmenter.uncertainty(volume, TEXTS), strict=True):
        read = maps["uncertainty", text]
        np.testing.assert_allclose(np.asarray(read.dataobj), expected, atol=1e-5)
        np.testing.assert_array_equal(read.affine, nib.load(volume).affine)


def test_every_form_of_a_picture_gives_the_same(segmenter, picture, drawing):
    first = torch.from_numpy(drawing.copy()).movedim(-1, 0)
    arrays = [drawing, np.asfortranarray(drawing), drawing / 255, np.float32(drawing) / 255]
    tensors = [first, first.contiguous(), first / 255, (first / 255).requires_grad_(), MetaTensor(first / 255)]
    pictures = [Image.fromarray(drawing), Image.fromarray(drawing).convert("RGBA"), Image.open(picture)]
    pictures += [Image.fromarray(drawing).quantize(8)]
    wanted = segmenter.probabilities(picture, "red circle")
    for found in segmenter.probabilities([str(picture), *pictures, *arrays, *tensors], ["red circle"]):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_every_form_of_a_gray_picture_gives_the_same(segmenter, drawing, tmp_path):
    gray = drawing[..., 0]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    files = [tmp_path / "gray.png", tmp_path / "deep.png"]
    pictures = [*map(Image.open, files), Image.fromarray(gray).convert("LA")]
    arrays = [gray, gray[..., None], gray / 255, torch.from_numpy(gray.copy()), torch.from_numpy(gray[None] / 255)]
    wanted = segmenter.probabilities(np.repeat(gray[..., None], 3, axis=-1))
    for found in segmenter.probabilities([*files, *pictures, *arrays]):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_window_applies_to_stored_values_of_every_form(segmenter, picture, drawing):
    windowed = Segmenter(segmenter.network, segmenter.inferer, [20, 180], segmenter.amp)
    scaled = np.clip((drawing - np.float32(20)) / 160, 0, 1)
    wanted = windowed.probabilities(picture)
    assert np.abs(wanted - segmenter.probabilities(picture)).max() > 0.01
    for found in windowed.probabilities([drawing, Image.fromarray(drawing), scaled]):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_pil_image_is_rotated_by_its_orientation(segmenter, picture, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.open(picture).convert("L").save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        found = segmenter.segment([tmp_path / "turned.png", opened])
        assert found[0].shape[1:] == opened.size
    np.testing.assert_array_equal(found[0], found[1])


def test_images_of_a_list_may_differ(segmenter, picture, volume):
    found = segmenter.segment([picture, volume, np.zeros((40, 31), np.uint8)], TEXTS)
    assert [mask.shape for mask in found] == [
        (2, 120, 150),
        (2, 150, 120, 3),
        (2, 40, 31),
    ]
    assert segmenter.segment([]) == []


def test_a_call_leaves_the_segmenter_unchanged(segmenter, picture):
    wanted = segmenter.probabilities(picture)
    assert segmenter.class_names == ["lesion"]
    segmenter.segment(np.zeros((8, 8)), TEXTS)
    np.testing.assert_array_equal(segmenter.probabilities(picture), wanted)
    assert segmenter.inferer.reduction is not None


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\)"),
        (np.zeros((3, 4, 5), np.uint8), r"\(3, 4, 5\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), r"\(2, 4, 5, 3\)"),
        (torch.zeros(4, 5, 3), r"\(4, 5, 3\)"),
        (torch.zeros(1, 3, 4, 5), r"\(1, 3, 4, 5\)"),
        (np.zeros((0, 5)), r"\(0, 5\)"),
        (np.zeros(5), r"\(5,\)"),
        (np.zeros((4, 5), np.int64), "int64"),
        (np.zeros((4, 5), np.uint16), "uint16"),
        (torch.zeros(4, 5, dtype=torch.bool), "bool"),
        (np.full((4, 5), 255.0), "255"),
        (np.full((4, 5), -0.5), "-0.5"),
        (np.full((4, 5), np.nan), "nan"),
        (torch.full((3, 4, 5), 7.5), "7.5"),
        (Image.new("F", (5, 4)), "'F'"),
        ("README.md", "README.md"),
    ],
)
def test_an_invalid_image_is_named(segmenter, image, named):
    with pytest.raises(ValueError, match=named):
        segmenter.segment(image)


@pytest.mark.parametrize("image", [None, 7, b"bytes", [[0, 1]]])
def test_other_types_are_refused(segmenter, image):
    with pytest.raises(TypeError, match=r"NoneType|int|bytes|list"):
        segmenter.segment(image)


@pytest.mark.parametrize("texts", [[], "", [" "], ["lesion", None]])
def test_empty_texts_are_refused(segmenter, texts):
    with pytest.raises(ValueError, match="texts"):
        segmenter.segment(np.zeros((4, 5)), texts)


def test_a_missing_file_is_named(segmenter, tmp_path):
    for name in ("missing.png", "missing.nii.gz"):
        with pytest.raises(FileNotFoundError, match=name):
            segmenter.segment(tmp_path / name)


def test_a_folder_that_is_not_a_bundle_is_named(bundle, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"inference\.yaml"):
        Segmenter.from_bundle(tmp_path)
    (tmp_path / "configs").symlink_to(bundle / "configs")
    with pytest.raises(FileNotFoundError, match=r"model\.pt"):
        Segmenter.from_bundle(tmp_path, device="cpu")


def test_options_of_the_config_can_be_overridden(bundle):
    segmenter = Segmenter.from_bundle(bundle, device="cpu", class_names=TEXTS, intensity_window=[20, 180])
    assert (segmenter.class_names, segmenter.intensity_window) == (TEXTS, [20, 180])
    zero_shot = Segmenter.from_bundle(bundle, device="cpu", method=None, unfreeze=None, upsampler=False)
    assert not any(parameter.requires_grad for parameter in zero_shot.network.parameters())
    with pytest.raises(ValueError, match=r"inference\.yaml.*'precison'"):
        Segmenter.from_bundle(bundle, precison="fp32")


def test_a_reduction_reads_one_text_at_a_time(segmenter, volume):
    found = segmenter.reduce_logits(volume, TEXTS, lambda logits, cuts: sum(logits))
    probabilities = segmenter.probabilities(volume, TEXTS)
    logits = np.log(probabilities / (1 - probabilities))
    assert found.shape == (1, 150, 120, 3)
    np.testing.assert_allclose(found[0], logits.sum(axis=0), atol=1e-3)


def test_importing_the_package_imports_neither_torch_nor_monai():
    check = "import sys, monai_tunevlseg as m; print({'torch', 'monai', 'numpy'} & set(sys.modules), m.__version__)"
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert told.startswith("set()")


def test_an_unknown_name_of_the_package_is_refused():
    import monai_tunevlseg

    with pytest.raises(AttributeError, match="Segmentor"):
        _ = monai_tunevlseg.Segmentor
