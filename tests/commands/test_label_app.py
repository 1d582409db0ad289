"""`tunevlseg label-app`, without MONAI Label."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

import monai_tunevlseg.monai_label
from monai_tunevlseg.__main__ import app
from monai_tunevlseg.monai_label import write_app_folder


def test_the_folder_of_the_app_is_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    printed = CliRunner().invoke(app, ["label-app"]).stdout.strip()
    assert printed == str(tmp_path / "monai_tunevlseg" / "label_app")
    assert "TuneVLSegApp" in (tmp_path / "monai_tunevlseg" / "label_app" / "main.py").read_text()


def test_the_folder_can_be_chosen(tmp_path):
    assert CliRunner().invoke(app, ["label-app", str(tmp_path / "mine")]).stdout.strip() == str(tmp_path / "mine")


def test_a_folder_that_is_not_writable_is_named(tmp_path):
    (tmp_path / "file").touch()
    run = CliRunner().invoke(app, ["label-app", str(tmp_path / "file" / "app")])
    assert run.exit_code == 1 and run.stderr.startswith("error: ") and "file" in run.stderr, run.output


def test_files_of_the_server_beside_the_app_are_kept(tmp_path):
    folder = write_app_folder(tmp_path / "app")
    (folder / "logs").mkdir()
    (folder / "main.py").write_text("an older one")
    write_app_folder(folder)
    assert (folder / "logs").is_dir()
    assert "TuneVLSegApp" in (folder / "main.py").read_text()


def test_the_launcher_names_the_missing_requirements():
    if find_spec("monailabel"):
        pytest.skip("monailabel is installed")
    run = subprocess.run(
        [sys.executable, "-m", "monai_tunevlseg.monai_label"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "constraints-label.txt" in run.stderr


@pytest.mark.parametrize(("version", "declared"), [("0.28.0+cu130", True), ("0.28.0+cpu", False)])
def test_operators_are_declared_for_a_cuda_build_only(tmp_path, version, declared):
    """A stand-in for torchvision shows which operators torch knows at its import."""
    import torch

    if torch.version.cuda is not None:
        pytest.skip("this torch is a CUDA build")
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "version.py").write_text(f"__version__ = '{version}'\n")
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "import torch\n"
        "print([n for n in ('torchvision::nms', 'torchvision::qnms') if torch._C._jit_get_schemas_for_operator(n)])\n"
    )
    startup = Path(monai_tunevlseg.monai_label.__file__).parent / "startup"
    run = subprocess.run(
        [sys.executable, "-c", "import torchvision"],
        env={"PYTHONPATH": f"{startup}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("torchvision::nms" in run.stdout) == declared
    assert ("torchvision::qnms" in run.stdout) == declared
