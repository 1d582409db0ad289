"""Segmentation of a study on a DICOMweb server, by a client and in MONAI Label's viewer."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from label_fixtures import circle_mask, dice, write_bundle
from PIL import Image

from monai_tunevlseg.monai_label import write_app_folder

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

import requests
from browser import CHROMIUM, browser
from label_server import label_server
from monailabel.client import MONAILabelClient
from orthanc import INSTALLED, SHOWN, SLICES, orthanc, store_study

pytestmark = pytest.mark.skipif(not INSTALLED, reason="orthanc and orthanc-dicomweb are not installed")


def tuned_bundle(folder: Path) -> Path:
    """A bundle that is trained on bright discs in gray noise."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    for number in range(16):
        mask = np.roll(circle_mask(), rng.integers(-30, 30, 2), axis=(0, 1)) & bool(number % 8)
        gray = np.clip(rng.normal(50, 6, mask.shape) + 190 * mask, 0, 255).astype(np.uint8)
        Image.fromarray(gray).save(folder / "data" / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(folder / "data" / "masks" / f"{number:02}.png")
    stems = [f"{number:02}" for number in range(16)]
    (folder / "data" / "splits.json").write_text(json.dumps({"train": stems[2:], "val": stems[:2], "test": stems[:2]}))
    bundle = write_bundle(folder / "discs", ("disc",))
    options = {"bundle_root": bundle, "dataset_dir": folder / "data", "epochs": 8, "learning_rate": 0.01}
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(bundle / "configs" / "train.yaml")]
    command += [f"--{name}={value}" for name, value in options.items()]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return bundle


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A server, its study and its series."""
    folder = tmp_path_factory.mktemp("dicom")
    bundle = tuned_bundle(folder)
    with orthanc(folder / "orthanc") as url:
        uids = store_study(url)
        app = write_app_folder(folder / "app")
        cache = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "cache")}
        with label_server(app, f"{url}/dicom-web", ("bundles", str(bundle)), **cache) as server:
            yield server, *uids


def test_a_series_is_segmented(study, tmp_path):
    server, _, series = study
    client = MONAILabelClient(server.url, tmpdir=str(tmp_path))
    assert client.next_sample("first", {})["id"] == series
    file, answer = client.infer("discs", series, {})
    assert answer["label_names"] == {"disc": 1}
    result = nib.load(file)
    labels = np.asarray(result.dataobj)  # (X, Y, Z)
    assert labels.shape == (*circle_mask().T.shape, SLICES)
    np.testing.assert_allclose(np.abs(np.diag(result.affine)[:3]), (0.8, 0.8, 2.5))
    for index in SHOWN:
        assert dice(labels[..., index].T, circle_mask()) > 0.8
    assert (labels[..., [index for index in range(SLICES) if index not in SHOWN]] > 0).mean() < 0.02


def test_a_missing_series_is_refused(study):
    server, *_ = study
    response = server.infer("discs", "1.2.3.4")
    assert (response.status_code, "1.2.3.4" in response.json()["detail"]) == (404, True)
    response = server.infer("discs", "../../../etc/hostname")
    assert (response.status_code, "../../../etc/hostname" in response.json()["detail"]) == (400, True)


@pytest.mark.parametrize("name", ["../evil", "/etc", ".."])
def test_labels_and_images_stay_in_the_cache(study, name):
    server, _, series = study
    for query in ({"image": series, "tag": name}, {"image": name, "tag": "original"}):
        response = requests.put(f"{server.url}/datastore/label", params=query, files={"label": ("l.nii.gz", b"x")})
        assert (response.status_code, repr(name) in response.json()["detail"]) == (400, True)
    params = {"image": name, "label": name, "tag": name}
    for path in ("image", "label", "image/info", "label/info"):
        assert requests.get(f"{server.url}/datastore/{path}", params=params).status_code == 400


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_viewer_segments_the_study(study, tmp_path):
    """The screenshot goes to TUNEVLSEG_ARTIFACTS, or beside the profile."""
    server, uid, _ = study
    with browser(tmp_path / "profile") as page:
        page.open(f"{server.url}/ohif/")
        page.wait("document.body.innerText.includes('Phantom')")  # the list of studies
        page.open(f"{server.url}/ohif/monai-label?StudyInstanceUIDs={uid}")
        page.wait("document.querySelector('#monailabelServerURL') && document.querySelectorAll('canvas').length >= 3")
        page.wait("document.body.innerText.includes('L:')")  # the window's level: the slices are there
        page.run("[...document.querySelectorAll('button')].find(b => b.innerText == 'Confirm and Hide')?.click()")
        page.run(f"document.querySelector('#monailabelServerURL').value = '{server.url}/'")
        page.run(
            "document.querySelector('#monailabelServerURL').dispatchEvent(new FocusEvent('focusout', {bubbles: true}))"
        )
        page.run("document.querySelector('.settingsTable .actionButton').click()")
        page.wait("document.querySelector('.selectBox option[value=discs]')")
        before = np.asarray(Image.open(io.BytesIO(page.picture())).convert("RGB"))
        page.run("document.querySelector('button[title=\"Run Segmentation\"]').click()")
        page.wait("document.body.innerText.includes('Running Segmentation - Successful')")
        page.wait("!document.body.innerText.includes('Running Segmentation')")  # the message goes
        picture = page.picture()
    artifacts = Path(os.environ.get("TUNEVLSEG_ARTIFACTS", tmp_path))
    artifacts.mkdir(parents=True, exist_ok=True)
    (artifacts / "ohif.png").write_bytes(picture)
    after = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    axial = np.s_[100:600, 290:590]
    assert colored(after[axial]).mean() > colored(before[axial]).mean() + 0.01


def colored(pixels: np.ndarray) -> np.ndarray:
    """Return which pixels are not gray: the image is gray, its segmentation is not."""
    return np.ptp(pixels.astype(int), axis=-1) > 20
