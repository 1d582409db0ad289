"""Stopping a server, or its training: no process or file remains, and the checkpoint is unchanged."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest
from label_fixtures import circle_mask, draw_picture, write_bundle
from PIL import Image

from monai_tunevlseg.monai_label import write_app_folder

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

import psutil
import requests
from label_server import label_server

from monai_tunevlseg.monai_label.server_processes import exit_with_server


@pytest.fixture
def server(tmp_path):
    studies = tmp_path / "studies"
    studies.mkdir()
    for number in range(3):
        draw_picture(number).save(studies / f"picture{number}.png")
        (studies / "labels" / "final").mkdir(parents=True, exist_ok=True)
        Image.fromarray(circle_mask(number)).save(studies / "labels" / "final" / f"picture{number}.png")
    bundle = write_bundle(tmp_path / "things", ("lesion",))
    with label_server(write_app_folder(tmp_path / "app"), studies, ("bundles", str(bundle))) as running:
        yield running


def wait_until(condition, what, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def training(server):
    """Start a long training, and return its processes when it runs."""
    begun = server.log.read_text().count("train_loss")
    answer = requests.post(f"{server.url}/train/things", json={"max_epochs": 10_000})
    assert answer.status_code == 200
    wait_until(lambda: server.log.read_text().count("train_loss") > begun, "no epoch ended")
    processes = psutil.Process(server.process.pid).children(recursive=True)
    assert len(processes) == 2
    return processes


def gone(processes):
    return all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes)


def temporary(server, pattern="*"):
    return list((server.log.parent / "tmp").glob(f"tunevlseg-label-*/{pattern}"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_training_ends_with_its_server(server, number):
    processes = training(server)
    os.kill(server.process.pid, number)
    server.process.wait(60)
    wait_until(lambda: gone(processes), "the training continues")
    assert not (server.log.parent / "things" / "models" / "model.pt").exists()
    if number == signal.SIGTERM:
        assert not temporary(server)
        assert "the new checkpoint is kept" not in server.log.read_text()


def test_a_stopped_training_leaves_nothing(server):
    for _ in range(2):  # the server can train again
        processes = training(server)
        answer = requests.delete(f"{server.url}/train/")
        assert (answer.status_code, answer.json()["status"]) == (200, "STOPPED")
        assert gone(processes)
        assert not temporary(server, "tasks/*")
        with suppress(psutil.NoSuchProcess):
            wait_until(lambda: not psutil.Process(server.process.pid).children(), "a process remains")
    assert not (server.log.parent / "things" / "models" / "model.pt").exists()
    assert requests.delete(f"{server.url}/train/").json() is None


def test_a_task_without_its_server_does_not_start(monkeypatch):
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setenv("TUNEVLSEG_LABEL_SERVER", str(gone.pid))
    with pytest.raises(SystemExit, match=str(gone.pid)):
        exit_with_server()
