"""`tunevlseg app`: what it refuses, and what it passes on; the page itself is tested in tests/app."""

from __future__ import annotations

import shlex
import socket

import pytest
from documentation import lines
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app

pytest.importorskip("uvicorn", reason="the extra [app] is not installed")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["gone"], "gone"),
        (["bundles/clipseg_zero_shot", "bundles/clipseg_zero_shot"], "'clipseg_zero_shot'"),
        (["bundles/unet_scratch"], "unet_scratch"),
        (["--images", "gone"], "gone"),
        (["--images", "setup.cfg"], "setup.cfg"),
        (["--host", "192.0.2.1"], "192.0.2.1"),
        (["--server", "localhost:8000"], "'localhost:8000'"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    run = CliRunner().invoke(app, ["app", *arguments, "--port", "0"])
    assert run.exit_code == 1 and run.stderr.startswith("error: ") and named in run.stderr, run.output


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = CliRunner().invoke(app, ["app", "--port", port])
    assert run.exit_code == 1 and port in run.stderr, run.output


def test_options_reach_the_page(tmp_path, monkeypatch):
    served = []
    monkeypatch.setattr("monai_tunevlseg.app.serve", lambda page, host, port, _: served.append((page, host, port)))
    arguments = ["app", "--images", str(tmp_path), "--host", "0.0.0.0", "--port", "81", "--max-upload", "0.5"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    ((page, host, port),) = served
    assert (host, port) == ("0.0.0.0", 81)
    tried = page.routes[0].endpoint.__self__
    assert (tried.max_upload, tried.pictures.folder) == (500_000, tmp_path.resolve())
    assert list(tried.bundles) == ["clipseg_zero_shot"]


def test_the_documented_command_opens_the_page(tmp_path, monkeypatch):
    served = []
    monkeypatch.setattr("monai_tunevlseg.app.serve", lambda page, host, port, _: served.append((page, host, port)))
    install, line = lines("app")
    assert install == "pip install -c constraints.txt -e '.[app]'"
    program, *arguments = shlex.split(line.replace("DIR", str(tmp_path)))
    run = CliRunner().invoke(app, arguments)
    assert (program, run.exit_code) == ("tunevlseg", 0), run.output
    ((page, host, port),) = served
    assert (host, port) == ("127.0.0.1", 7860)
    assert list(page.routes[0].endpoint.__self__.bundles) == ["clipseg_vpt"]
