"""The MONAI Label server that the command starts, and that ends with it."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from documentation import ROOT, lines
from label_fixtures import draw_picture, write_bundle, write_volume

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")
pytest.importorskip("httpx2", reason="the extra [app] is not installed")

import httpx2

from monai_tunevlseg.app.label_process import LabelProcess, last_error

PATIENCE = 600  # seconds; imports take minutes on a busy machine


def wait_for(condition, what):
    until = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < until, what
        time.sleep(0.2)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_starts_with_the_tab_and_ends_with_the_page(tmp_path, number):
    bundle = write_bundle(tmp_path / "things", ("lesion",))
    (tmp_path / "images").mkdir()
    draw_picture().save(tmp_path / "images" / "picture.JPG")
    write_volume(tmp_path / "images" / "volume.nii.gz")
    install, line = lines("annotate pictures")
    assert install == "pip install -c constraints-label.txt -e '.[label,app]'"
    program, *arguments = shlex.split(line.replace("DIR...", str(bundle)).replace("IMAGES", str(tmp_path / "images")))
    assert program == "tunevlseg"
    command = [sys.executable, "-m", "monai_tunevlseg", *arguments, "--port", "0"]
    # without startup/, which users do not have on PYTHONPATH
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    output = tmp_path / "output.txt"
    with output.open("w") as stream, subprocess.Popen(command, stdout=stream, env=environment) as process:
        try:
            (url,) = wait_for(lambda: re.findall(r"http://\S+", output.read_text()), "the page does not start")
            assert not list((tmp_path / "state").rglob("server.log"))  # the tab is not open yet
            wait_for(lambda: post(f"{url}/annotate/server")["ready"], "no server")
            images = httpx2.get(f"{url}/annotate/images", timeout=PATIENCE).json()["images"]
            assert images == [{"id": "picture", "labeled": False}]  # a volume is not a picture
            (log,) = (tmp_path / "state").rglob("server.log")
            (server,) = re.findall(r"running on (http://127.0.0.1:\d+)", log.read_text())
            assert responds(server)
            process.send_signal(number)
            process.wait(PATIENCE)
        finally:
            process.kill()
    wait_for(lambda: not responds(server), "the server continues")


def post(url):
    answer = httpx2.post(url, timeout=PATIENCE)
    assert answer.is_success, answer.text
    return answer.json()


def responds(url):
    try:
        return httpx2.get(f"{url}/info/", timeout=PATIENCE).is_success
    except httpx2.HTTPError:
        return False


def test_a_server_that_ends_is_explained(tmp_path):
    (tmp_path / "images").mkdir()
    process = LabelProcess([tmp_path / "gone"], tmp_path / "images", tmp_path / "server")
    process.start()

    def reason():
        try:
            return "" if process.responds() else None
        except ValueError as error:
            return str(error)

    explained = wait_for(reason, "the server neither starts nor ends")
    assert "gone" in explained and str(process.log) in explained
    assert process.start() != ""  # again
    process.stop()


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("Using PYTHONPATH=/x\n[2026] [ERROR] - in use\n[2026] [INFO] - end\n", "[2026] [ERROR] - in use"),
        ("Traceback:\n  in x\na.SomeError: no bundle\n\n[2026] [ERROR] - startup failed\n", "a.SomeError: no bundle"),
        ("usage: monailabel\n\n", "usage: monailabel"),
        ("\n", "its log is empty"),
    ],
)
def test_the_reason_is_found_in_the_log(log, reason):
    assert last_error(log) == reason


def test_a_comma_in_a_path_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a,b"):
        LabelProcess([tmp_path / "a,b"], tmp_path, tmp_path / "server").start()


def test_without_monai_label_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--server"):
        LabelProcess([], tmp_path, tmp_path / "server").start()
