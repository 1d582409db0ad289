"""Training and active learning through the server."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from label_fixtures import CIRCLES, circle_mask, draw_picture, write_bundle, write_volume
from PIL import Image
from tiny_methods import tiny_arguments

from monai_tunevlseg.calibration import read_calibration
from monai_tunevlseg.demo import embedded_models
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.monai_label import write_app_folder
from monai_tunevlseg.networks import VLSMS

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

import nrrd
import psutil
import requests
import yaml
from label_server import label_server
from monailabel.client import MONAILabelClient

from monai_tunevlseg.monai_label import train_task
from monai_tunevlseg.monai_label.bundle_model import BaseModelCache, BundleModel
from monai_tunevlseg.monai_label.train_task import BundleTraining, _log_lines

COUNT = 6
"""Labeled pictures, in addition to a labeled volume and an unlabeled picture."""


OTHERS = [model for model in VLSMS if model not in embedded_models()]
"""VLSMs that this package embeds no base model for."""


@pytest.fixture(scope="module")
def server(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("tuning")
    (folder / "studies").mkdir()
    for number in range(COUNT):
        draw_picture(number).save(folder / "studies" / f"picture{number}.png")
    draw_picture(circles=False).save(folder / "studies" / "nothing.png")
    write_volume(folder / "studies" / "volume.nii.gz")
    bundles = [
        write_bundle(folder / "things", ("lesion",)),
        write_bundle(folder / "scratch", ("lesion",), bundle="unet_scratch"),
        write_bundle(folder / "low_rank", ("lesion",), bundle="clipseg_lora"),
    ]
    for model in OTHERS:
        own = {"pretrained": str(request.getfixturevalue(f"tiny_{model}_dir")), **tiny_arguments("coop")}
        bundles.append(write_bundle(folder / model, ("lesion",), "kvasir", f"{model}_coop", **own))
    conf = ("bundles", ",".join(map(str, bundles)))
    with label_server(write_app_folder(folder / "app"), folder / "studies", conf) as running:
        yield running


@pytest.fixture
def client(server, tmp_path):
    return MONAILabelClient(server.url, tmpdir=str(tmp_path))


@pytest.fixture
def submitted(client, server, tmp_path):
    """Submits the circles as lesions, once, in the formats of viewers."""
    if client.info()["datastore"]["completed"] <= COUNT:
        params = {"label_info": [{"name": "lesion", "idx": 1}]}
        for number in range(COUNT):
            label = write_label(tmp_path, number)
            client.save_label(f"picture{number}", str(label), "final", params)
        answered, _ = client.infer("things", "volume", {"text": "red circle", "result_extension": ".nrrd"})
        voxels, header = nrrd.read(answered)
        voxels[:] = circle_mask().T[..., None]
        voxels[..., 3:] = 0
        nrrd.write(answered, voxels, header)
        client.save_label("volume", answered, "final", params)


def write_label(folder, number):
    """A label as PNG; as (W, H, 1) NIfTI and NRRD with the geometry that 3D Slicer gives a picture."""
    mask = circle_mask(number).astype(np.uint8)
    if number % 3 == 0:
        Image.fromarray(mask * 255).save(folder / "label.png")
        return folder / "label.png"
    if number % 3 == 1:
        nib.save(nib.Nifti1Image(mask.T[..., None], np.diag([-1.0, -1.0, 1.0, 1.0])), folder / "label.nii.gz")
        return folder / "label.nii.gz"
    space = {"space": "left-posterior-superior", "space directions": np.eye(3), "space origin": np.zeros(3)}
    nrrd.write(str(folder / "label.nrrd"), mask.T[..., None], space)
    return folder / "label.nrrd"


def train(client, model="things", **params):
    """Train, and return the finished task."""
    client.train_start(model, params)
    while client.train_status(check_if_running=True) or client.train_status()["status"] in ("SUBMITTED", "RUNNING"):
        time.sleep(0.5)
    return client.train_status()


def test_the_entropy_strategy_keeps_its_scores(client, server):
    first = client.next_sample("entropy", {"max_samples": 3})
    assert first["scored"] == 3
    assert client.next_sample("entropy", {"max_samples": 3})["scored"] == 6
    last = client.next_sample("entropy", {"max_samples": 3})
    assert last["scored"] == COUNT + 2
    log = server.log.read_text()
    again = client.next_sample("entropy", {"max_samples": 3})
    assert (again["id"], again["score"]) == (last["id"], last["score"])
    scores = {
        image: requests.get(f"{server.url}/datastore/image/info", params={"image": image}).json()["tunevlseg_entropy"]
        for image in [f"picture{number}" for number in range(COUNT)] + ["nothing", "volume"]
    }
    assert max(scores, key=lambda image: scores[image]["things"]["score"]) == last["id"]
    assert log.count("Loaded things") == 1


def test_uncertainty_chooses_the_image_with_the_least_certain_masks(client, server):
    chosen = client.next_sample("uncertainty", {"max_samples": COUNT + 2})
    infos = {
        image: requests.get(f"{server.url}/datastore/image/info", params={"image": image}).json()
        for image in [f"picture{number}" for number in range(COUNT)] + ["nothing", "volume"]
    }
    scores = {image: info["tunevlseg_uncertainty"]["things"]["score"] for image, info in infos.items()}
    assert max(scores.values()) == chosen["score"] == scores[chosen["id"]]
    _, answer = client.infer("things", chosen["id"], {})
    (mean,), (presence,) = answer["confidence"].values(), answer["presence"].values()
    assert chosen["score"] == pytest.approx(presence if mean is None else 1 - mean, abs=1e-4)


@pytest.mark.parametrize("strategy", ["random", "first"])
def test_the_other_strategies_choose_an_image(client, strategy):
    chosen = client.next_sample(strategy, {})
    assert chosen["id"] in {f"picture{number}" for number in range(COUNT)} | {"nothing", "volume"}
    assert Path(chosen["path"]).is_file()


@pytest.mark.parametrize(
    ("strategy", "params", "status", "named"),
    [
        ("oracle", {}, 404, "'oracle'"),
        ("entropy", {"model": "liver"}, 404, "'liver'"),
        ("entropy", {"max_samples": 0}, 400, "max_samples is 0"),
    ],
)
def test_wrong_requests_for_a_sample_are_refused(server, strategy, params, status, named):
    response = requests.post(f"{server.url}/activelearning/{strategy}", json=params)
    assert (response.status_code, named in response.json()["detail"]) == (status, True)


def test_training_an_unknown_model_is_refused(server):
    response = requests.post(f"{server.url}/train/liver", json={})
    assert (response.status_code, "'liver'" in response.json()["detail"]) == (404, True)


@pytest.mark.parametrize("name", ["things", "low_rank"])
def test_labels_of_clients_tune_the_bundle(name, client, server, submitted):
    options = client.info()["trainers"][name]["config"]
    config = yaml.safe_load((server.log.parent / name / "configs" / "train.yaml").read_text())
    assert options["learning_rate"] == config["learning_rate"]
    before = np.asarray(Image.open(client.infer(name, "picture1", {})[0]))
    task = train(client, name, max_epochs=3)
    log = server.log.read_text()
    assert task["status"] == "DONE", log[-4000:]
    assert "train_loss" in log  # progress
    assert "the new checkpoint is kept" in log
    stats = client.info()["train_stats"][name]
    assert (stats["kept"], stats["old_dice"], stats["images"]) == ("new", None, COUNT + 1)
    after = np.asarray(Image.open(client.infer(name, "picture1", {})[0]))
    assert (before != after).any()
    clicked = np.asarray(Image.open(client.infer(f"{name}_clicks", "picture1", {"background": [list(CIRCLES[0])]})[0]))
    assert not clicked[CIRCLES[0][1], CIRCLES[0][0]]
    model = server.log.parent / name / "models" / "model.pt"
    assert json.loads(model.with_name("hyperparameters.json").read_text())["checkpoint_digest"] == file_digest(model)
    assert list(read_calibration(model).classes) == ["lesion"]
    # the unlabeled image, by the new checkpoint
    assert client.next_sample("entropy", {"model": name})["scored"] == 1
    assert not psutil.Process(server.process.pid).children(recursive=True)  # so their memory is free again


@pytest.mark.parametrize("name", OTHERS)
def test_a_base_model_in_a_folder_is_tuned_and_segments(name, client, server, submitted):
    untuned, answer = client.infer(name, "picture1", {"text": "lesion, red circle"})
    assert answer["label_names"] == {"lesion": 1, "red circle": 2}
    assert np.asarray(Image.open(untuned)).shape == circle_mask().shape
    task = train(client, name, max_epochs=1)
    assert task["status"] == "DONE", server.log.read_text()[-4000:]
    assert client.info()["train_stats"][name]["kept"] == "new"
    labels = nib.load(client.infer(name, "volume", {})[0])
    assert labels.shape == (*circle_mask().T.shape, 5)


def test_a_network_without_a_base_model_is_trained_before_it_segments(client, server, submitted):
    response = requests.post(f"{server.url}/infer/scratch", params={"image": "picture1"})
    assert response.status_code == 400 and "scratch is not trained" in response.json()["detail"]
    task = train(client, "scratch", max_epochs=1)
    assert task["status"] == "DONE", server.log.read_text()[-4000:]
    answered, _ = client.infer("scratch", "picture1", {})
    assert np.asarray(Image.open(answered)).shape == circle_mask().shape
    response = requests.post(
        f"{server.url}/infer/scratch", params={"image": "picture1"}, data={"params": '{"text": "dot"}'}
    )
    assert response.status_code == 400 and "'dot'" in response.json()["detail"]


def test_options_are_read_again_only_from_a_changed_config(tmp_path, monkeypatch):
    folder = write_bundle(tmp_path / "things", ("lesion",))
    training = BundleTraining(BundleModel(folder, BaseModelCache()))
    config = folder / "configs" / "train.yaml"
    written = yaml.safe_load(config.read_text())
    options = training.config()
    assert options["max_epochs"] == written["epochs"]
    with monkeypatch.context() as patched:
        patched.setattr(train_task, "ConfigParser", None)  # reading the file would fail
        assert training.config() == options
        options["max_epochs"] = -1
        assert training.config()["max_epochs"] == written["epochs"]
    config.write_text(yaml.safe_dump(written | {"epochs": 7}, sort_keys=False))
    assert training.config()["max_epochs"] == 7
    config.unlink()
    with pytest.raises(FileNotFoundError):
        training.config()


def test_a_failed_run_ends_with_its_reason():
    script = "print('a line'); print('the reason'); print(); raise SystemExit(3)"
    with pytest.raises(RuntimeError, match=r"^train\.yaml of things .*the reason$"):
        _log_lines([sys.executable, "-c", script], "train.yaml of things")


def test_a_worse_checkpoint_is_not_kept(client, server, submitted):
    checkpoint = server.log.parent / "things" / "models" / "model.pt"
    if not checkpoint.is_file():
        train(client, max_epochs=3)
    before = checkpoint.read_bytes()
    task = train(client, max_epochs=1, learning_rate=50.0, pretrained=False)
    assert task["status"] == "DONE", server.log.read_text()[-4000:]
    assert client.info()["train_stats"]["things"]["kept"] == "old"
    assert checkpoint.read_bytes() == before
