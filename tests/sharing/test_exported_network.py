"""A TorchScript file alone gives the masks of its bundle, as MONAI Deploy's App SDK runs it: docs/monai-deploy.md."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from documentation import block
from monai.bundle import ConfigParser, ckpt_export
from PIL import Image
from shared_names import NAME, ROOT

from monai_tunevlseg import Segmenter
from monai_tunevlseg.calibration import Calibration, ClassCalibration, read_calibration
from monai_tunevlseg.data.io.reading import read_image
from monai_tunevlseg.inferers import ResizedInferer
from monai_tunevlseg.reductions import label_map
from monai_tunevlseg.sharing import infer_exported

FITTED = {"a": (0.4, 0.2), "c": (2.5, 0.6)}
"""Temperature and threshold of two of three classes."""


class ThreeClasses(torch.nn.Module):
    """Logits that differ between the classes, and their names."""

    class_names = ("a", "b", "c")

    def forward(self, image):
        return 3 * image.flip(1) - torch.tensor([1.2, 1.7, 0.9])[:, None, None]


def exported(fitted, **more):
    """What the file of a bundle has."""
    inferer = {"_target_": "monai_tunevlseg.inferers.ResizedInferer", "image_size": 64, "antialias": True}
    inferer |= {"reduction": "$reductions.label_map"}
    imports = ["$import monai_tunevlseg.reductions as reductions"]
    parser = ConfigParser({"imports": imports, "class_names": ["a", "b", "c"], "inferer": inferer | more})
    parser["_meta_"] = {"calibration": fitted} if fitted else {}
    return parser


@pytest.mark.parametrize("fitted", [{}, FITTED])
def test_masks_are_calibrated_by_the_metadata(fitted):
    classes = {name: ClassCalibration(*values, 1, 0.0, 0.0, 0.0, 0.0) for name, values in fitted.items()}
    image = torch.rand(2, 3, 40, 30, generator=torch.manual_seed(0))
    inferer = ResizedInferer(64, antialias=True, reduction=label_map, calibration=Calibration(classes))
    wanted = inferer(image, ThreeClasses())
    metadata = {name: {"temperature": values[0], "threshold": values[1]} for name, values in fitted.items()}
    found = infer_exported(exported(metadata), torch.jit.script(ThreeClasses()), image)
    assert (found.shape, found.dtype, set(wanted.unique().tolist())) == ((2, 1, 40, 30), torch.uint8, {0, 1, 2, 3})
    assert (found != wanted).float().mean() < 1e-3
    uncalibrated = infer_exported(exported({}), ThreeClasses(), image)
    assert torch.equal(uncalibrated, found) == (not fitted)


def test_a_calibration_beside_a_checkpoint_is_not_applied_a_second_time():
    metadata = {"a": {"temperature": 0.4, "threshold": 0.2}}
    image = torch.rand(1, 3, 40, 30, generator=torch.manual_seed(0))
    beside = Calibration({"a": ClassCalibration(0.4, 0.2, 1, 0.0, 0.0, 0.0, 0.0)})
    network = torch.jit.script(ThreeClasses())
    twice = infer_exported(exported(metadata, calibration=beside), network, image)
    assert torch.equal(twice, infer_exported(exported(metadata), network, image))


@pytest.mark.parametrize("option", [{"presence_threshold": 0.0}, {"text_sets": {"a": ["an a"]}}])
def test_what_an_exported_network_does_not_give_is_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}.*null"):
        infer_exported(exported({}, **option), ThreeClasses(), torch.rand(1, 3, 16, 16))


@pytest.fixture
def pictures(data, tmp_path):
    """Pictures of the dataset in three sizes and two formats, one of them gray."""
    folder = tmp_path / "IMAGES"
    folder.mkdir()
    first, second, third = (Image.open(path) for path in sorted((data / "images").iterdir())[:3])
    first.save(folder / "a.png")
    second.resize((90, 80)).convert("RGB").save(folder / "b.jpg")
    third.convert("L").resize((70, 110)).save(folder / "c.png")
    return folder


def read_file(file: Path) -> ConfigParser:
    """Read the configs as `get_bundle_config` of the SDK does: from the folder extra/ of the archive."""
    parser = ConfigParser()
    with zipfile.ZipFile(file) as archive:
        parser.read_meta(json.loads(archive.read(f"{file.stem}/extra/metadata.json")))
        parser.read_config(json.loads(archive.read(f"{file.stem}/extra/inference.json")))
    parser["base_model"] = "$1 / 0"  # of which nothing needs a value
    parser.parse()
    return parser


def assert_same_masks(found: dict[Path, np.ndarray], bundle: Path) -> None:
    segmenter = Segmenter.from_bundle(bundle, device="cpu", precision="fp32")
    wanted = {picture: segmenter.segment(picture)[0] for picture in found}
    assert any(0 < mask.mean() < 1 for mask in wanted.values())
    for picture, mask in wanted.items():
        assert found[picture].shape == mask.shape
        assert ((found[picture] == 1) != mask).mean() < 1e-3  # an exported network rounds differently


def test_the_file_alone_gives_the_masks_of_the_bundle(shared, pictures, tmp_path, monkeypatch):
    bundle, file = shared[0] / NAME, tmp_path / "model.ts"
    configs = bundle / "configs"
    ckpt_export(
        net_id="network_def",
        filepath=str(file),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
    )
    monkeypatch.chdir(tmp_path)  # a folder without a checkpoint
    parser = read_file(file)
    fitted = read_calibration(bundle / "models" / "model.pt").classes["lesion"]
    assert parser["_meta_"]["calibration"]["lesion"]["threshold"] == fitted.threshold
    network = torch.jit.load(file, map_location="cpu").eval()
    found = {}
    for picture in pictures.iterdir():
        image = read_image(picture, intensity_window=parser.get_parsed_content("intensity_window"))
        with torch.no_grad():
            found[picture] = infer_exported(parser, network, torch.from_numpy(image).movedim(-1, 0)[None])[0, 0].numpy()
    assert_same_masks(found, bundle)


def test_the_application_writes_the_masks_of_the_bundle(shared, pictures, tmp_path):
    """With the SDK itself, which CI does not have."""
    if importlib.util.find_spec("monai.deploy") is None:
        pytest.skip("monai-deploy-app-sdk needs an environment of its own")
    with zipfile.ZipFile(shared[0] / f"{NAME}_v0.1.0.zip") as archive:
        archive.extractall(tmp_path)
    bundle = tmp_path / NAME
    pictures.rename(bundle / "IMAGES")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"REPOSITORY": str(ROOT), "PATH": programs, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(["bash", "-ec", block("deploy")], cwd=bundle, env=environment, check=True)
    written = {path: Image.open(bundle / "MASKS" / f"{path.stem}.png") for path in (bundle / "IMAGES").iterdir()}
    assert_same_masks({path: np.asarray(mask) for path, mask in written.items()}, bundle)
