"""MONAI Label's own bundle app with a shared bundle."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
import torch
from documentation import block
from label_fixtures import AFFINE, REPOSITORY, SIZE, circle_mask, dice, draw_picture, write_volume
from PIL import Image
from shared_bundles import share_bundle

from monai_tunevlseg import Segmenter
from monai_tunevlseg.calibration import Calibration, ClassCalibration, write_calibration
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.sharing import Sources

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

from label_server import label_server
from monailabel.client import MONAILabelClient
from monailabel.tasks.infer.bundle import BundleInferTask

COUNT = 6
DOCUMENTED_NAME = "kvasir_polyp_clipseg_vpt"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The server, started by the documented commands, and the folder of its model."""
    folder = tmp_path_factory.mktemp("stock")
    shared = share_bundle("ultrasound/clipseg_vpt", folder, sources=Sources(configs_dir=REPOSITORY / "configs"))
    commands = block("stock app").replace(DOCUMENTED_NAME, shared.name).splitlines()
    (launcher, *download), *copy, start = map(shlex.split, commands)
    assert launcher == "monailabel"
    subprocess.run([sys.executable, "-m", "monai_tunevlseg.monai_label", *download], check=True, cwd=folder)
    for command in copy:
        subprocess.run(command, check=True, cwd=folder)
    bundle = folder / "APPS" / "monaibundle" / "model" / shared.name
    (folder / "studies").mkdir()
    for number in range(COUNT):
        draw_picture(number).save(folder / "studies" / f"picture{number}.png")
    write_volume(folder / "studies" / "volume.nii.gz")
    host, app, studies, *settings = (
        start[index + 1 : index + 3] for index, word in enumerate(start) if word[:2] == "--"
    )
    assert (host[0], app[0], studies[0]) == ("127.0.0.1", "APPS/monaibundle", "IMAGES")
    conf = *map(tuple, settings), ("sam2", "false")  # the app would download it
    with label_server(folder / app[0], folder / "studies", *conf) as running:
        yield running, bundle


def test_submitted_labels_train_the_bundle_which_then_segments(server, tmp_path):
    running, bundle = server
    client = MONAILabelClient(running.url, tmpdir=str(tmp_path))
    assert bundle.name in client.info()["models"]
    for number in range(COUNT):
        Image.fromarray(circle_mask(number).astype(np.uint8)).save(tmp_path / "label.png")
        client.save_label(f"picture{number}", str(tmp_path / "label.png"), "final", {})
    checkpoint = bundle / "models" / "model.pt"
    untrained = checkpoint.read_bytes()
    client.train_start(bundle.name, {"max_epochs": 6, "val_split": 0.2})
    while client.train_status()["status"] in ("SUBMITTED", "RUNNING"):
        time.sleep(0.5)
    log = running.log.read_text()
    assert client.train_status()["status"] == "DONE", log[-4000:]
    assert checkpoint.read_bytes() != untrained

    file, _ = client.infer(bundle.name, "picture2", {})
    labels = np.asarray(Image.open(file))
    assert labels.shape == SIZE
    assert dice(labels, circle_mask(2)) > 0.7

    file, _ = client.infer(bundle.name, "volume", {})
    result = nib.load(file)
    assert result.shape == (*SIZE[::-1], 5)
    np.testing.assert_allclose(result.affine, AFFINE, atol=1e-5)
    assert not (bundle / "output").exists()


def test_a_calibration_is_used_with_a_checkpoint_and_not_with_a_torchscript_file(tmp_path):
    bundle = share_bundle("ultrasound/clipseg_vpt", tmp_path, sources=Sources(configs_dir=REPOSITORY / "configs"))
    picture, checkpoint = tmp_path / "picture.png", bundle / "models" / "model.pt"
    draw_picture().save(picture)
    segmenter = Segmenter.from_bundle(bundle, device="cpu", precision="fp32")
    mask = segmenter.segment(picture)[0]
    network, (class_name,) = segmenter.network, segmenter.network.class_names
    fitted = Calibration({class_name: ClassCalibration(1.0, 1e-9, 1, 0, 0, 0, 0)})
    write_calibration(checkpoint, fitted, file_digest(checkpoint))
    assert served(bundle, picture).all() and not mask.all()
    traced = torch.jit.trace(network, torch.rand(1, 3, *segmenter.inferer.image_size), check_trace=False)
    traced.save(checkpoint.with_suffix(".ts"))
    checkpoint.unlink()
    assert (served(bundle, picture) != mask).mean() < 1e-3  # rounding at the threshold


def served(bundle, picture):
    """Return the mask that the app's task for a bundle writes for a picture."""
    task = BundleInferTask(str(bundle), {})
    file, _ = task({"model": bundle.name, "image": str(picture), "device": "cpu", "result_extension": ".png"})
    return np.asarray(Image.open(file)) > 0
